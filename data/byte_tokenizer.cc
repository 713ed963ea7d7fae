#include "data/byte_tokenizer.h"

#include <algorithm>

#include "tensor/error.h"

namespace shardgrad {

std::vector<std::uint16_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<std::uint16_t> tokens(text.size());
  std::transform(text.begin(), text.end(), tokens.begin(),
                 [](char character) { return static_cast<unsigned char>(character); });
  return tokens;
}

std::string ByteTokenizer::decode(const std::vector<std::uint16_t>& tokens) const {
  std::string text(tokens.size(), '\0');
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    require(tokens[i] < vocab_size(), "ByteTokenizer::decode",
            "token {} at position {} is outside the vocabulary; expected 0 to {}", tokens[i], i,
            vocab_size() - 1);
    text[i] = static_cast<char>(tokens[i]);
  }
  return text;
}

}  // namespace shardgrad
