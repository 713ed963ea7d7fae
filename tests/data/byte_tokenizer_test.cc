#include "data/byte_tokenizer.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

TEST(ByteTokenizer, TokensAreBytes) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(tokenizer.encode("Az\xff"), (std::vector<std::uint16_t>{65, 122, 255}));
  EXPECT_EQ(tokenizer.decode({72, 105}), "Hi");
}

TEST(ByteTokenizer, EveryByteComesBack) {
  const ByteTokenizer tokenizer;
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  const std::vector<std::uint16_t> tokens = tokenizer.encode(bytes);
  ASSERT_EQ(tokens.size(), 256u);
  for (std::size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens[i], i);
  EXPECT_EQ(tokenizer.decode(tokens), bytes);
  EXPECT_EQ(tokenizer.vocab_size(), 256);
}

TEST(ByteTokenizer, NothingIsNothing) {
  EXPECT_TRUE(ByteTokenizer{}.encode("").empty());
  EXPECT_EQ(ByteTokenizer{}.decode({}), "");
}

TEST(ByteTokenizer, SaysWhichTokenIsOutsideTheVocabulary) {
  EXPECT_EQ(error_of([] {
              ByteTokenizer{}.decode({1, 2, 256});
            }),
            "[Tokenizer::decode] token 256 at position 2 is outside the vocabulary; expected 0 "
            "to 255");
}

}  // namespace
}  // namespace shardgrad
