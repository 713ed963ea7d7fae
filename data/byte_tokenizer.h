// The tokenizer that needs no vocabulary: one token per byte.
#pragma once

#include "data/tokenizer.h"

namespace shardgrad {

/// Token ids are the bytes of the text. There is no token for the end of a document.
class ByteTokenizer : public Tokenizer {
 public:
  using Tokenizer::encode;

  /// 256.
  std::int64_t vocab_size() const override { return 256; }
  std::optional<TokenId> end_of_text() const override { return std::nullopt; }
  void encode(std::string_view text, std::vector<TokenId>& tokens) const override;
  std::string_view bytes_of(TokenId token) const override;
  std::size_t last_cut(std::string_view text) const override { return text.size(); }
};

}  // namespace shardgrad
