#include "data/byte_tokenizer.h"

#include <algorithm>
#include <array>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr std::array<char, 256> every_byte() {
  std::array<char, 256> bytes{};
  for (int i = 0; i < 256; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(i);
  return bytes;
}

constexpr std::array<char, 256> kBytes = every_byte();

}  // namespace

void ByteTokenizer::encode(std::string_view text, std::vector<TokenId>& tokens) const {
  const std::size_t start = tokens.size();
  tokens.resize(start + text.size());
  std::transform(text.begin(), text.end(), tokens.begin() + static_cast<std::ptrdiff_t>(start),
                 [](char character) { return static_cast<unsigned char>(character); });
}

std::string_view ByteTokenizer::bytes_of(TokenId token) const {
  require(token < vocab_size(), "ByteTokenizer::bytes_of",
          "token {} is outside the vocabulary; expected 0 to {}", token, vocab_size() - 1);
  return {&kBytes[token], 1};
}

}  // namespace shardgrad
