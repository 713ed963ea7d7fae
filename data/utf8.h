// UTF-8, one character at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shardgrad {

/// Bytes of the character at the start of `text`; 0 where there is none: nothing, a stray byte, one
/// that is cut off, overlong, a surrogate, or above U+10FFFF. Source: RFC 3629, section 4.
std::size_t utf8_length(std::string_view text);

/// The code point of a character that utf8_length() has found.
char32_t utf8_code_point(std::string_view character);

/// Appends a code point, at most U+10FFFF.
void append_utf8(char32_t code_point, std::string& text);

/// Whether Unicode calls it White_Space, which is what \s means in GPT-2's pattern.
bool is_white_space(char32_t code_point);

}  // namespace shardgrad
