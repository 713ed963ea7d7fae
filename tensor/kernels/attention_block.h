// What the forward and the backward pass of CPU attention share: the blocks that a head is cut
// into, and the masks of one block.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/kernels/attention.h"
#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {

/// Queries and keys of a block: three float blocks and four [64, Dh] panels fit the second cache.
inline constexpr std::int64_t kAttentionBlock = 64;

template <class T>
using RowMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Panel = Eigen::Map<RowMatrix<T>, 0, Eigen::OuterStride<>>;
template <class T>
using ConstPanel = Eigen::Map<const RowMatrix<T>, 0, Eigen::OuterStride<>>;

/// `rows` rows of one head from token `first` on, in a matrix whose rows are `leading` apart.
template <class T>
ConstPanel<T> panel(const T* head, std::int64_t first, std::int64_t rows, std::int64_t head_dim,
                    std::int64_t leading) {
  return {head + first * leading, rows, head_dim, Eigen::OuterStride<>(leading)};
}
template <class T>
Panel<T> panel(T* head, std::int64_t first, std::int64_t rows, std::int64_t head_dim,
               std::int64_t leading) {
  return {head + first * leading, rows, head_dim, Eigen::OuterStride<>(leading)};
}

/// Copies rows of bfloat16, `leading` apart, into float32 rows without gaps.
inline void widen_rows(const BFloat16* from, std::int64_t leading, std::int64_t rows,
                       std::int64_t columns, float* to) {
  for (std::int64_t row = 0; row < rows; ++row, from += leading, to += columns) {
#pragma omp simd
    for (std::int64_t n = 0; n < columns; ++n) to[n] = widen(from[n]);
  }
}

/// The way back, which rounds.
inline void round_rows(const float* from, std::int64_t rows, std::int64_t columns, BFloat16* to,
                       std::int64_t leading) {
  for (std::int64_t row = 0; row < rows; ++row, from += columns, to += leading) {
#pragma omp simd
    for (std::int64_t n = 0; n < columns; ++n) store(to[n], from[n]);
  }
}

/// Which keys of a block a query sees.
struct BlockMask {
  const std::int32_t* key_padding;  // of this sequence, or null
  std::int64_t first_query, first_key, keys;

  /// Sets the scores of hidden keys of the block's `row` to -infinity.
  template <class T>
  void hide(std::int64_t row, T* scores) const {
    const std::int64_t visible =
        std::clamp<std::int64_t>(first_query + row - first_key + 1, 0, keys);
    constexpr T kHidden = -std::numeric_limits<T>::infinity();
    std::fill(scores + visible, scores + keys, kHidden);
    if (key_padding == nullptr) return;
    for (std::int64_t key = 0; key < visible; ++key) {
      if (key_padding[first_key + key] == 0) scores[key] = kHidden;
    }
  }
};

/// The dropout factor (0, or 1 / (1 - p)) of `keys` <= kAttentionBlock consecutive probabilities,
/// from mask element `first` on.
template <class T>
void dropout_factors(const DropoutMask& dropout, std::int64_t first, std::int64_t keys,
                     T* factors) {
  constexpr int kBlocks = kAttentionBlock / 4 + 1;
  std::uint32_t words[4 * kBlocks];
  const auto element = static_cast<std::uint64_t>(first);
#pragma omp simd
  for (int block = 0; block < kBlocks; ++block) {
    const PhiloxWords drawn =
        philox4x32(dropout.random, element / 4 + static_cast<std::uint64_t>(block));
    for (int word = 0; word < 4; ++word) words[4 * block + word] = drawn.word[word];
  }
  const std::uint32_t* const mine = words + element % 4;
  const std::uint32_t threshold = dropout.threshold();
  const T scale = static_cast<T>(dropout.scale());
  for (std::int64_t key = 0; key < keys; ++key) {
    factors[key] = mine[key] >= threshold ? scale : T(0);
  }
}

/// The mask element of query 0 and key 0 of local head `head` of local sequence `sequence`.
inline std::int64_t first_mask_element(const AttentionShape& shape, std::int64_t sequence,
                                       std::int64_t head) {
  return ((shape.first_sequence + sequence) * shape.all_heads + shape.first_head + head) *
         shape.tokens * shape.tokens;
}

}  // namespace shardgrad::cpu
