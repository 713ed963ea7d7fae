#include "data/token_dataset.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

/// 0, 1, 2, ..., size - 1.
TokenDataset counting(std::int64_t size) {
  std::vector<std::uint16_t> tokens(static_cast<std::size_t>(size));
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
  return TokenDataset(std::move(tokens));
}

TEST(TokenDataset, HoldsItsTokens) {
  const TokenDataset dataset({7, 65535, 0});
  EXPECT_EQ(dataset.size(), 3);
  EXPECT_EQ(dataset[0], 7);
  EXPECT_EQ(dataset[1], 65535);
  EXPECT_EQ(dataset[2], 0);
  EXPECT_EQ(TokenDataset({}).size(), 0);
}

TEST(TokenDataset, SlicesOfSlices) {
  const TokenDataset dataset = counting(10);
  const TokenDataset part = dataset.slice(2, 6).slice(1, 3);
  EXPECT_EQ(part.size(), 3);
  EXPECT_EQ(part[0], 3);
  EXPECT_EQ(part[2], 5);
  EXPECT_EQ(dataset.slice(10, 0).size(), 0);
}

/// Runs that hold `sizes` tokens each, numbered throughout. As if they were files with a header.
TokenDataset runs_of(const std::vector<std::int64_t>& sizes, std::int64_t vocab_size) {
  std::vector<TokenRun> runs;
  TokenId next = 0;
  for (const std::int64_t size : sizes) {
    const auto tokens = std::make_shared<std::vector<TokenId>>(static_cast<std::size_t>(size));
    for (TokenId& token : *tokens) token = next++;
    runs.push_back({fmt::format("file{}", runs.size()), 1024, tokens->data(), size, tokens});
  }
  return TokenDataset(std::move(runs), vocab_size);
}

TEST(TokenDataset, ReadsAcrossRuns) {
  const TokenDataset dataset = runs_of({3, 0, 1, 5, 0}, 9);
  ASSERT_EQ(dataset.size(), 9);
  for (std::int64_t start = 0; start <= 9; ++start) {
    for (std::int64_t count = 0; count <= 9 - start; ++count) {
      std::vector<std::int32_t> ids(static_cast<std::size_t>(count) + 1, -1);
      dataset.read(start, count, ids.data());
      for (std::int64_t i = 0; i < count; ++i)
        ASSERT_EQ(ids[static_cast<std::size_t>(i)], start + i);
      ASSERT_EQ(ids.back(), -1);
    }
  }
  std::int32_t ids[3];
  dataset.slice(2, 4).read(1, 3, ids);
  EXPECT_EQ(ids[0], 3);
  EXPECT_EQ(ids[2], 5);
  EXPECT_EQ(dataset.slice(2, 4)[3], 5);
}

TEST(TokenDataset, ReadSaysWhichFileHasAnIdOutsideTheVocabulary) {
  const TokenDataset dataset = runs_of({3, 5}, 6);
  std::int32_t ids[8];
  EXPECT_EQ(error_of([&] { dataset.read(0, 6, ids); }), "");
  EXPECT_EQ(error_of([&] { dataset.read(2, 6, ids); }),
            "[TokenDataset::read] file1: token id 6 at offset 1030 is outside the vocabulary of 6; "
            "is it the vocabulary that the file was made with?");
  EXPECT_EQ(error_of([&] { dataset.read(2, 7, ids); }),
            "[TokenDataset::read] start 2 and count 7 are out of range for 8 tokens");
}

TEST(TokenDataset, SliceOutlivesTheWhole) {
  TokenDataset part = counting(10).slice(4, 2);
  EXPECT_EQ(part[0], 4);
  EXPECT_EQ(part[1], 5);
}

TEST(TokenDataset, SliceSaysWhatIsOutOfRange) {
  const auto message = [](std::int64_t start, std::int64_t length) {
    return error_of([&] { counting(10).slice(start, length); });
  };
  EXPECT_EQ(message(8, 3),
            "[TokenDataset::slice] start 8 and length 3 are out of range for 10 tokens");
  constexpr std::int64_t kLargest = 9223372036854775807;
  for (const auto& [start, length] : {std::pair<std::int64_t, std::int64_t>{-1, 2},
                                      {2, -1},
                                      {11, 0},
                                      {1, kLargest},
                                      {kLargest, 1}}) {
    EXPECT_NE(message(start, length), "") << start << ", " << length;
  }
}

TEST(TokenDataset, SplitHoldsOutTheTail) {
  const TokenDataset dataset = counting(100);
  const DatasetSplit split = dataset.split(0.29);
  EXPECT_EQ(split.training.size(), 71);
  EXPECT_EQ(split.held_out.size(), 29);
  EXPECT_EQ(split.training[0], 0);
  EXPECT_EQ(split.training[70], 70);
  EXPECT_EQ(split.held_out[0], 71);
  EXPECT_EQ(split.held_out[28], 99);
}

TEST(TokenDataset, SplitOfAPartStaysInIt) {
  const DatasetSplit split = counting(100).slice(10, 20).split(0.25);
  EXPECT_EQ(split.training[0], 10);
  EXPECT_EQ(split.held_out[0], 25);
  EXPECT_EQ(split.held_out.size(), 5);
}

TEST(TokenDataset, NothingCanBeHeldOut) {
  const DatasetSplit split = counting(10).split(0.0);
  EXPECT_EQ(split.training.size(), 10);
  EXPECT_EQ(split.held_out.size(), 0);
}

TEST(TokenDataset, SplitSaysWhichFractionsItTakes) {
  EXPECT_EQ(error_of([] { counting(10).split(1.0); }),
            "[TokenDataset::split] held_out_fraction 1 is out of range; expected 0 <= "
            "held_out_fraction < 1");
  EXPECT_EQ(error_of([] { counting(10).split(-0.1); }),
            "[TokenDataset::split] held_out_fraction -0.1 is out of range; expected 0 <= "
            "held_out_fraction < 1");
  EXPECT_NE(error_of([] { counting(10).split(std::nan("")); }), "");
}

}  // namespace
}  // namespace shardgrad
