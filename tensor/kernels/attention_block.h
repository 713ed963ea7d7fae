// What the forward and the backward pass of CPU attention share: the blocks that a head is cut
// into, their memory, their matrix products, and the masks of one block.
//
// A head is copied block by block into rows without gaps, padded with zeros to whole blocks and
// vectors: its products then need no edges, whatever the width of a head and the layout around it,
// and bfloat16 is widened on the way.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/kernels/attention.h"
#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/small_products.h"
#include "tensor/kernels/vector_math.h"
#include "tensor/round_up.h"

namespace shardgrad::cpu {

/// Queries and keys of a block: two float blocks and nine of [64, Dh] fit the second cache.
inline constexpr std::int64_t kAttentionBlock = 64;

/// Rows of one head, padded: [padded tokens, padded head_dim], or one block of them.
template <class T>
struct HeadPanel {
  T* data = nullptr;
  std::int64_t leading = 0;

  T* row(std::int64_t token) const { return data + token * leading; }
};

/// The extents of a padded head.
template <class T>
struct PaddedHead {
  PaddedHead(std::int64_t tokens_given, std::int64_t head_dim_given)
      : tokens(tokens_given),
        head_dim(head_dim_given),
        rows(round_up(tokens, kAttentionBlock)),
        columns(round_up(head_dim, kVectorLanes<T>)) {}

  std::int64_t panel_size() const { return rows * columns; }
  std::int64_t block_size() const { return kAttentionBlock * columns; }
  /// All of a head's rows, or a block of them, at `memory`, which moves on behind them.
  HeadPanel<T> panel(T*& memory) const { return take(memory, panel_size()); }
  HeadPanel<T> block(T*& memory) const { return take(memory, block_size()); }

  /// Copies the block of rows from token `first` on, of `head_dim` elements and `leading` apart;
  /// zeros around them.
  template <class Stored>
  void fill(const Stored* head, std::int64_t leading, std::int64_t first, T* to) const {
    for (std::int64_t token = first; token < first + kAttentionBlock; ++token, to += columns) {
      // Rows lie further apart than what the processor fetches ahead by itself.
      prefetch<false>(head + std::min(token + 8, tokens - 1) * leading);
      const std::int64_t filled = token < tokens ? head_dim : 0;
      const Stored* const source = head + (token < tokens ? token : 0) * leading;
#pragma omp simd
      for (std::int64_t n = 0; n < filled; ++n) to[n] = widen(source[n]);
      std::fill(to + filled, to + columns, T(0));
    }
  }

  /// Prepares the places of the kTileRows rows from token `first` on to be overwritten some time
  /// after, when the stores would have to wait for the cache lines.
  template <class Stored>
  void prefetch_output(const Stored* head, std::int64_t leading, std::int64_t first) const {
    const std::int64_t end = std::min(first + kTileRows, tokens);
    for (std::int64_t token = first; token < end; ++token) prefetch<true>(head + token * leading);
  }

  /// The transpose [columns, kAttentionBlock] of a filled block.
  void transpose(const T* block, T* to) const {
    for (std::int64_t row = 0; row < kAttentionBlock; row += kVectorLanes<T>) {
      for (std::int64_t column = 0; column < columns; column += kVectorLanes<T>) {
        transpose_tile(block + row * columns + column, columns, to + column * kAttentionBlock + row,
                       kAttentionBlock);
      }
    }
  }

  /// The way back of fill(), which rounds.
  template <class Stored>
  void drain(const T* block, std::int64_t first, Stored* head, std::int64_t leading) const {
    const std::int64_t end = std::min(first + kAttentionBlock, tokens);
    for (std::int64_t token = first; token < end; ++token, block += columns) {
      Stored* const target = head + token * leading;
#pragma omp simd
      for (std::int64_t n = 0; n < head_dim; ++n) store(target[n], block[n]);
    }
  }

  std::int64_t tokens, head_dim;
  std::int64_t rows, columns;

 private:
  template <bool Write, class Stored>
  void prefetch(const Stored* row) const {
    for (std::int64_t n = 0; n < head_dim; n += 64 / static_cast<int>(sizeof(Stored))) {
      __builtin_prefetch(row + n, Write);
    }
  }

  HeadPanel<T> take(T*& memory, std::int64_t size) const {
    const HeadPanel<T> made{memory, columns};
    memory += size;
    return made;
  }
};

/// How many keys of a block the last of the kTileRows queries from `row` of a block of queries
/// sees.
inline std::int64_t keys_seen(std::int64_t first_query, std::int64_t row, std::int64_t first_key) {
  return std::min(kAttentionBlock, first_query + row + kTileRows - first_key);
}

/// Sets the scores of `keys` keys from `first_key` on to -infinity where `query` does not see
/// them. `key_padding` is that of the sequence, or null.
template <class T>
void hide_keys(const std::int32_t* key_padding, std::int64_t query, std::int64_t first_key,
               std::int64_t keys, T* scores) {
  const std::int64_t visible = std::clamp<std::int64_t>(query - first_key + 1, 0, keys);
  constexpr T kHidden = -std::numeric_limits<T>::infinity();
  std::fill(scores + visible, scores + keys, kHidden);
  if (key_padding == nullptr) return;
  for (std::int64_t key = 0; key < visible; ++key) {
    if (key_padding[first_key + key] == 0) scores[key] = kHidden;
  }
}

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
