// Philox words in bulk, drawn for many consecutive elements at vector speed.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/kernels/element_loops.h"
#include "tensor/philox.h"

namespace shardgrad::cpu {

/// Blocks of four words that one call of draw_words computes.
inline constexpr int kBlocksPerDraw = 64;
inline constexpr int kWordsPerDraw = 4 * kBlocksPerDraw;

/// words[4 * b + w] = philox4x32(random, first_block + b).word[w]. The blocks are independent, so
/// they are computed side by side in vector lanes.
inline void draw_words(const RandomStream& random, std::uint64_t first_block,
                       std::uint32_t* words) {
#pragma omp simd
  for (int block = 0; block < kBlocksPerDraw; ++block) {
    const PhiloxWords drawn = philox4x32(random, first_block + static_cast<std::uint64_t>(block));
    words[4 * block] = drawn.word[0];
    words[4 * block + 1] = drawn.word[1];
    words[4 * block + 2] = drawn.word[2];
    words[4 * block + 3] = drawn.word[3];
  }
}

/// Calls body(i, word of element first_element + i) for each i in [0, count), in parallel and
/// vectorised: iterations must be independent.
template <class Body>
void parallel_words(const RandomStream& random, std::int64_t first_element, std::int64_t count,
                    const Body& body) {
  parallel_for(count, kElementsPerThread / 4, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) std::uint32_t words[kWordsPerDraw];
    while (begin < end) {
      const std::uint64_t element = static_cast<std::uint64_t>(first_element + begin);
      draw_words(random, element / 4, words);
      const std::int64_t skipped = static_cast<std::int64_t>(element % 4);
      const std::int64_t batch = std::min(end - begin, kWordsPerDraw - skipped);
#pragma omp simd
      for (std::int64_t i = 0; i < batch; ++i) body(begin + i, words[skipped + i]);
      begin += batch;
    }
  });
}

}  // namespace shardgrad::cpu
