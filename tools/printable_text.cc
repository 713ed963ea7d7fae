#include "tools/printable_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "data/utf8.h"

namespace shardgrad {
namespace {

// Bytes of the UTF-8 character at the start of `text`, 0 if there is none or it is a control
// character.
std::size_t printable_bytes(std::string_view text) {
  const std::size_t length = utf8_length(text);
  if (length == 0) return 0;
  const char32_t c = utf8_code_point(text.substr(0, length));
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  return control && c != '\n' && c != '\t' ? 0 : length;
}

// Bytes of the UTF-8 character that begins with `first`; 0 if none does.
std::size_t character_bytes(unsigned char first) {
  if (first < 0x80) return 1;
  return first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first <= 0xf4 ? 4 : 0;
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
    const std::size_t length = printable_bytes(std::string_view(text).substr(at));
    result += length > 0 ? text.substr(at, length)
                         : fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
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
