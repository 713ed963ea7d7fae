#include "data/tokenizer.h"

#include "data/bpe_tokenizer.h"
#include "data/byte_tokenizer.h"
#include "tensor/error.h"

namespace shardgrad {

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  std::vector<TokenId> tokens;
  encode(text, tokens);
  return tokens;
}

std::string Tokenizer::decode(const std::vector<TokenId>& tokens) const {
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    require(tokens[i] < vocab_size(), "Tokenizer::decode",
            "token {} at position {} is outside the vocabulary; expected 0 to {}", tokens[i], i,
            vocab_size() - 1);
    text += bytes_of(tokens[i]);
  }
  return text;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name) {
  if (name == "bytes") return std::make_shared<ByteTokenizer>();
  return std::make_shared<BpeTokenizer>(load_bpe_vocabulary(name));
}

}  // namespace shardgrad
