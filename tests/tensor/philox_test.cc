#include "tensor/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace shardgrad {
namespace {

std::array<std::uint32_t, 4> words(const RandomStream& key, std::uint64_t block) {
  const PhiloxWords drawn = philox4x32(key, block);
  return {drawn.word[0], drawn.word[1], drawn.word[2], drawn.word[3]};
}

// The known answers of philox4x32-10 that the generator's authors publish with Random123. Their
// counter is {block low, block high, stream low, stream high}, their key {seed low, seed high}.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(words({0, 0}, 0),
            (std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  constexpr std::uint64_t kOnes = 0xffffffffffffffffu;
  EXPECT_EQ(words({kOnes, kOnes}, kOnes),
            (std::array<std::uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(words({0x299f31d0a4093822u, 0x0370734413198a2eu}, 0x85a308d3243f6a88u),
            (std::array<std::uint32_t, 4>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Philox, WordOfAnElementIsItsPlaceInTheBlock) {
  const RandomStream key{42, 7};
  for (std::uint64_t element = 0; element < 64; ++element) {
    EXPECT_EQ(philox_word(key, element), philox4x32(key, element / 4).word[element % 4]);
  }
}

// The generator is usable at compile time.
static_assert(philox_word({0, 0}, 0) == 0x6627e8d5u);
static_assert(philox_word({0, 0}, 3) == 0x9b00dbd8u);

TEST(Philox, SeedStreamAndBlockAllMatter) {
  std::set<std::array<std::uint32_t, 4>> seen;
  for (std::uint64_t bit = 0; bit < 64; ++bit) {
    const std::uint64_t value = std::uint64_t{1} << bit;
    seen.insert(words({value, 0}, 0));
    seen.insert(words({0, value}, 0));
    seen.insert(words({0, 0}, value));
  }
  EXPECT_EQ(seen.size(), 192u);
}

// FNV-1a's published test vectors.
TEST(HashName, KnownAnswers) {
  EXPECT_EQ(hash_name(""), 0xcbf29ce484222325u);
  EXPECT_EQ(hash_name("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(hash_name("foobar"), 0x85944171f73967e8u);
}

TEST(MixStream, NeighboursDiffer) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t stream = 0; stream < 100; ++stream) {
    for (std::uint64_t index = 0; index < 100; ++index) seen.insert(mix_stream(stream, index));
  }
  EXPECT_EQ(seen.size(), 10000u);
}

}  // namespace
}  // namespace shardgrad
