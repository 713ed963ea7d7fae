#include "data/permutation.h"

#include <utility>

#include "tensor/error.h"

namespace shardgrad {
namespace {

// Four are indistinguishable from random for large ranges; small ones want more.
constexpr std::uint64_t kRounds = 8;

}  // namespace

Permutation::Permutation(std::int64_t size, const RandomStream& key) : size_(size), key_(key) {
  require(size >= 1, "Permutation", "size {} is out of range; expected 1 or more", size);
  while (half_bits_ < 32 &&
         std::uint64_t{1} << (2 * half_bits_ - 1) < (static_cast<std::uint64_t>(size) + 1) / 2) {
    ++half_bits_;
  }
}

std::int64_t Permutation::operator()(std::int64_t position) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  auto number = static_cast<std::uint64_t>(position);
  do {
    std::uint64_t left = number >> half_bits_, right = number & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      left ^= philox4x32(key_, round << 32 | right).word[0] & mask;
      std::swap(left, right);
    }
    number = left << half_bits_ | right;
  } while (number >= static_cast<std::uint64_t>(size_));
  return static_cast<std::int64_t>(number);
}

}  // namespace shardgrad
