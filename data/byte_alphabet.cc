#include "data/byte_alphabet.h"

#include <array>

#include "data/utf8.h"

namespace shardgrad {
namespace {

constexpr std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> characters{};
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
    characters[byte] = printable ? byte : next++;
  }
  return characters;
}

constexpr std::array<char32_t, 256> kCharacters = make_alphabet();
constexpr std::size_t kCodePoints = 256 + 68;  // 68 bytes are not printable

constexpr std::array<int, kCodePoints> make_inverse() {
  std::array<int, kCodePoints> bytes{};
  for (int& byte : bytes) byte = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[kCharacters[byte]] = static_cast<int>(byte);
  return bytes;
}

constexpr std::array<int, kCodePoints> kBytes = make_inverse();

}  // namespace

char32_t character_of_byte(unsigned char byte) { return kCharacters[byte]; }

std::string to_byte_alphabet(std::string_view bytes) {
  std::string characters;
  for (char byte : bytes) append_utf8(kCharacters[static_cast<unsigned char>(byte)], characters);
  return characters;
}

std::optional<std::string> from_byte_alphabet(std::string_view characters) {
  std::string bytes;
  while (!characters.empty()) {
    const std::size_t length = utf8_length(characters);
    if (length == 0) return std::nullopt;
    const char32_t code_point = utf8_code_point(characters.substr(0, length));
    if (code_point >= kCodePoints || kBytes[code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[code_point]);
    characters.remove_prefix(length);
  }
  return bytes;
}

}  // namespace shardgrad
