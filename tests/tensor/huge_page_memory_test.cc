// Blocks that lie in huge pages: none overlaps another, and all come back.
#include "tensor/huge_page_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace shardgrad {
namespace {

constexpr std::size_t kMebibyte = std::size_t{1} << 20;

TEST(HugePageMemory, NeighboursBecomeOneBlockAgain) {
  HugePageMemory memory;
  for (const std::vector<int>& order :
       {std::vector<int>{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}}) {
    void* const kept = memory.take(kMebibyte);
    void* const blocks[] = {memory.take(8 * kMebibyte), memory.take(8 * kMebibyte),
                            memory.take(8 * kMebibyte)};
    for (int block : order) memory.give_back(blocks[block]);
    EXPECT_EQ(memory.take(24 * kMebibyte), blocks[0]);
    EXPECT_EQ(memory.mapped_bytes(), 64 * kMebibyte);
    memory.give_back(blocks[0]);
    memory.give_back(kept);
    EXPECT_EQ(memory.mapped_bytes(), 0u);
  }
}

TEST(HugePageMemory, LargeBlocksHaveARegionOfTheirOwn) {
  HugePageMemory memory;
  void* const small = memory.take(1);
  void* const large = memory.take(65 * kMebibyte + 1);
  EXPECT_EQ(memory.mapped_bytes(), (64 + 66) * kMebibyte);
  static_cast<char*>(large)[65 * kMebibyte] = 1;
  memory.give_back(large);
  EXPECT_EQ(memory.mapped_bytes(), 64 * kMebibyte);
  EXPECT_TRUE(memory.has_given(small));
  EXPECT_FALSE(memory.has_given(large));
}

TEST(HugePageMemory, NullWhenNothingIsLeft) {
  HugePageMemory memory;
  EXPECT_EQ(memory.take(SIZE_MAX), nullptr);
  EXPECT_EQ(memory.take(SIZE_MAX / 2), nullptr);
  EXPECT_EQ(memory.mapped_bytes(), 0u);
}

// Each block holds its number in all its words for as long as it is taken.
TEST(HugePageMemory, KeepsBlocksApart) {
  struct Block {
    std::uint32_t* words;
    std::size_t count;
    std::uint32_t number;
  };
  HugePageMemory memory;
  std::vector<Block> blocks;
  std::mt19937 random(1);
  const auto give_back = [&](std::size_t index) {
    const Block block = blocks[index];
    EXPECT_EQ(std::count(block.words, block.words + block.count, block.number),
              static_cast<std::ptrdiff_t>(block.count));
    memory.give_back(block.words);
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(index));
  };
  for (std::uint32_t number = 0; number < 1000; ++number) {
    if (blocks.size() > 40 || (blocks.size() > 4 && random() % 2 == 0)) {
      give_back(random() % blocks.size());
    }
    const std::size_t count = (random() % 8 == 0 ? 4 * kMebibyte : kMebibyte / 4) - random() % 1000;
    auto* const words = static_cast<std::uint32_t*>(memory.take(count * sizeof(std::uint32_t)));
    ASSERT_NE(words, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(words) % 64, 0u);
    std::fill(words, words + count, number);
    blocks.push_back({words, count, number});
  }
  EXPECT_GT(memory.mapped_bytes(), 64 * kMebibyte);
  while (!blocks.empty()) give_back(random() % blocks.size());
  EXPECT_EQ(memory.mapped_bytes(), 0u);
}

}  // namespace
}  // namespace shardgrad
