#include "tools/printable_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace shardgrad {
namespace {

// Bytes of a UTF-8 character that begins with `first`; 0 if none does.
std::size_t character_bytes(unsigned char first) {
  if (first < 0x80) return 1;
  return first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first <= 0xf4 ? 4 : 0;
}

// Bytes of the UTF-8 character at the start of `text`, 0 if there is none or it is a control
// character. Source: RFC 3629, section 4.
std::size_t printable_bytes(const unsigned char* text, std::size_t size) {
  const unsigned char first = text[0];
  if (first < 0x80) return first == '\n' || first == '\t' || (first >= 0x20 && first != 0x7f);
  const std::size_t length = character_bytes(first);
  if (length == 0 || length > size) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = text[1];
  const bool control = first == 0xc2 && second < 0xa0;
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return control || overlong || no_character ? 0 : length;
}

// Bytes at the end of `text` that more bytes could make a character.
std::size_t unfinished_bytes(const std::string& text) {
  for (std::size_t count = 1; count <= std::min<std::size_t>(3, text.size()); ++count) {
    const auto byte = static_cast<unsigned char>(text[text.size() - count]);
    if ((byte & 0xc0) != 0x80) return character_bytes(byte) > count ? count : 0;
  }
  return 0;
}

}  // namespace

std::string printable(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data()) + at;
    const std::size_t length = printable_bytes(bytes, text.size() - at);
    result += length > 0 ? text.substr(at, length) : fmt::format("\\x{:02x}", bytes[0]);
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

std::string PrintableStream::add(std::string_view bytes) {
  held_back_ += bytes;
  const std::size_t complete = held_back_.size() - unfinished_bytes(held_back_);
  const std::string text = printable(held_back_.substr(0, complete));
  held_back_.erase(0, complete);
  return text;
}

std::string PrintableStream::finish() { return printable(std::exchange(held_back_, {})); }

}  // namespace shardgrad
