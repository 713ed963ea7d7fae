// A shuffled order that is never stored.
#pragma once

#include <cstdint>

#include "tensor/philox.h"

namespace shardgrad {

/// A pseudo-random permutation of 0 .. size - 1, any element of which is computed by itself, as a
/// function of the key. A Feistel network permutes the 2^(2k) >= size numbers of 2k bits; where it
/// leads outside of the range, it is applied again, which ends inside, since each number lies on a
/// cycle, and remains a permutation.
/// Source: Luby, Rackoff, SIAM J. Comput. 17 (1988); "cycle walking": Black, Rogaway, CT-RSA 2002.
class Permutation {
 public:
  /// @throws Error when size < 1.
  Permutation(std::int64_t size, const RandomStream& key);

  /// The element at a position in [0, size).
  std::int64_t operator()(std::int64_t position) const;

 private:
  std::int64_t size_;
  RandomStream key_;
  int half_bits_ = 1;  // k
};

}  // namespace shardgrad
