// The tokenizer that needs no vocabulary: one token per byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shardgrad {

/// Token ids are the bytes of the text, so every text can be encoded, and decoding gives back
/// exactly what was encoded.
class ByteTokenizer {
 public:
  /// 256.
  std::int64_t vocab_size() const { return 256; }

  std::vector<std::uint16_t> encode(std::string_view text) const;

  /// @throws Error for a token outside the vocabulary.
  std::string decode(const std::vector<std::uint16_t>& tokens) const;
};

}  // namespace shardgrad
