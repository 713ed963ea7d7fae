// The printable characters that stand for the 256 bytes in the files of a byte-level vocabulary.
//
// Source: GPT-2's encoder (Radford et al., "Language models are unsupervised multitask learners",
// 2019): a byte that Latin-1 prints stands for itself; the others, space and controls among them,
// are U+0100, U+0101, ... in the order of their values. So a space is U+0120, a "G" with a dot.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace shardgrad {

/// The code point that stands for a byte.
char32_t character_of_byte(unsigned char byte);

/// `bytes` in those characters, as UTF-8.
std::string to_byte_alphabet(std::string_view bytes);

/// The bytes that the characters stand for; nothing where one of them stands for none.
std::optional<std::string> from_byte_alphabet(std::string_view characters);

}  // namespace shardgrad
