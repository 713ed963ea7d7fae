// What the forward and the backward pass of CPU attention share: the blocks that a head is cut
// into, their memory, their matrix products, and the masks of one block.
//
// A head is copied once into rows without gaps, padded with zeros to whole blocks and vectors: its
// products then need no edges, whatever the width of a head and the layout around it, and bfloat16
// is widened on the way.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/kernels/attention.h"
#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/small_products.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {

/// Queries and keys of a block: two float blocks and four [64, Dh] panels fit the second cache.
inline constexpr std::int64_t kAttentionBlock = 64;

/// Rows of one head, padded: [padded tokens, padded head_dim].
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
  HeadPanel<T> panel(T*& memory) const {
    const HeadPanel<T> made{memory, columns};
    memory += panel_size();
    return made;
  }

  /// Copies `tokens` rows of `head_dim` elements, `leading` apart; zeros around them.
  template <class Stored>
  void fill(const Stored* from, std::int64_t leading, const HeadPanel<T>& to) const {
    for (std::int64_t token = 0; token < rows; ++token) {
      // Rows lie further apart than what the processor fetches ahead by itself.
      const Stored* const ahead = from + std::min(token + 8, tokens - 1) * leading;
      for (std::int64_t n = 0; n < head_dim; n += 64 / static_cast<int>(sizeof(Stored))) {
        __builtin_prefetch(ahead + n);
      }
      T* const row = to.row(token);
      const std::int64_t filled = token < tokens ? head_dim : 0;
      const Stored* const source = from + (token < tokens ? token : 0) * leading;
#pragma omp simd
      for (std::int64_t n = 0; n < filled; ++n) row[n] = widen(source[n]);
      std::fill(row + filled, row + columns, T(0));
    }
  }

  /// The transposed blocks of a filled panel: block b is [columns, kAttentionBlock], and its
  /// column n is row b * kAttentionBlock + n of the panel.
  void transpose_blocks(const HeadPanel<T>& from, const HeadPanel<T>& to) const {
    for (std::int64_t first = 0; first < rows; first += kAttentionBlock) {
      T* const block = to.row(first);
      for (std::int64_t column = 0; column < columns; ++column) {
        for (std::int64_t n = 0; n < kAttentionBlock; ++n) {
          block[column * kAttentionBlock + n] = from.row(first + n)[column];
        }
      }
    }
  }

  /// The way back of fill(), which rounds.
  template <class Stored>
  void drain(const HeadPanel<T>& from, Stored* to, std::int64_t leading) const {
    for (std::int64_t token = 0; token < tokens; ++token) {
      const T* const row = from.row(token);
      Stored* const target = to + token * leading;
#pragma omp simd
      for (std::int64_t n = 0; n < head_dim; ++n) store(target[n], row[n]);
    }
  }

  std::int64_t tokens, head_dim;
  std::int64_t rows, columns;
};

/// How many keys of a block the kTileRows queries from `row` of a block of queries need: in a
/// block on the diagonal no more than the last of them sees, rounded up to whole vectors.
template <class T>
std::int64_t keys_needed(std::int64_t first_query, std::int64_t row, std::int64_t first_key) {
  const std::int64_t seen = first_query + row + kTileRows - first_key;
  return std::min(kAttentionBlock, round_up(seen, kVectorLanes<T>));
}

/// Which keys of a block a query sees.
struct BlockMask {
  const std::int32_t* key_padding;  // of this sequence, or null
  std::int64_t first_query, first_key;

  /// Sets the scores of hidden keys among the first `keys` of the block to -infinity, for the
  /// block's query `row`.
  template <class T>
  void hide(std::int64_t row, std::int64_t keys, T* scores) const {
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
