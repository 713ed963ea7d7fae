// What the forward and the backward pass of CUDA attention share: how the work is cut into tiles,
// where a head lies in the tensors, and the masks.
//
// A block of threads owns some rows of one head (queries, or keys for their gradients) and visits
// the other rows (keys, or queries) a few at a time. Each of its warps has its own stripe of the
// owned rows, and multiplies it with all the visited ones.
#pragma once

#include <cmath>
#include <type_traits>

#include "tensor/cuda/async_copy.cuh"
#include "tensor/cuda/attention_tensor_tile.cuh"
#include "tensor/cuda/dropout.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/kernels/attention.h"

namespace shardgrad::cuda {

/// The dynamic shared memory that any GPU since compute capability 8.0 lets a block have.
inline constexpr std::size_t kMostSharedBytes = 99 * 1024;

inline constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

/// How one pass is cut up, for elements of T and heads of at most kHeadDim columns: kWarps warps
/// own kRowsOfWarp rows each and visit kVisitedRows at a time. With kStagesOfVisited = 2, the next
/// ones are loaded while these are worked on. Of what a block sums up, it sums kColumns.
template <class ElementType, int kHeadDim, int kWarps, int kRowsOfWarp, int kVisitedRows,
          int kStagesOfVisited = 1>
struct AttentionTiles {
  using T = ElementType;
  using A = Accumulator<T>;
  static constexpr int kDim = kHeadDim;  // the head's columns and the zeros after them
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kStripe = kRowsOfWarp;
  static constexpr int kOwned = kWarps * kRowsOfWarp;
  static constexpr int kVisited = kVisitedRows;
  static constexpr int kStages = kStagesOfVisited;
  // Rows in shared memory begin one pack further along the banks than the row before.
  static constexpr int kStride = kDim + Pack<T>::kSize;
  static constexpr int kWeightStride = kVisited + 8;
  static constexpr bool kTensorCores = std::is_same_v<T, __nv_bfloat16>;

  /// [kStripe, kVisited], and [kStripe, kDim].
  using Scores = std::conditional_t<kTensorCores, TensorTile<kStripe, kVisited>,
                                    CoreTile<A, kStripe, kVisited, 1>>;
  using Sums = std::conditional_t<kTensorCores, TensorTile<kStripe, kDim>,
                                  CoreTile<A, kStripe, kDim, Pack<A>::kSize>>;
  using Map = typename Scores::Map;
  static constexpr int kSlots = Scores::kSlots;
};

/// One head of one sequence, `index` of batch * heads: where it begins in each of the tensors.
struct HeadPlace {
  std::int64_t width, leading;  // of the rows of out, and of those of qkv
  std::int64_t query, key, value, out, statistics, padding, mask_element;

  __device__ HeadPlace(const AttentionShape& shape, std::int64_t index)
      : width(shape.heads * shape.head_dim), leading(3 * width), statistics(index * shape.tokens) {
    const std::int64_t sequence = index / shape.heads, head = index % shape.heads;
    padding = sequence * shape.tokens;
    query = padding * leading + head * shape.head_dim;
    key = query + width;
    value = key + width;
    out = padding * width + head * shape.head_dim;
    const std::int64_t global_head =
        (shape.first_sequence + sequence) * shape.all_heads + shape.first_head + head;
    mask_element = global_head * shape.tokens * shape.tokens;
  }
};

/// Begins to copy rows [first, first + kCount) of a head, which are `leading` apart, to shared
/// memory, with zeros for rows and columns that it does not have. All of the block's threads take
/// part.
template <class Tiles, int kCount, class T>
__device__ inline void load_rows(const AttentionShape& shape, bool packed, const T* head,
                                 std::int64_t leading, std::int64_t first, T* to) {
  constexpr int kSize = Pack<T>::kSize, kPacksOfRow = Tiles::kDim / kSize;
#pragma unroll
  for (int p = static_cast<int>(threadIdx.x); p < kCount * kPacksOfRow; p += Tiles::kThreads) {
    const int row = p / kPacksOfRow, column = p % kPacksOfRow * kSize;
    const bool inside = first + row < shape.tokens;
    const T* const from = head + (first + row) * leading + column;
    T* const place = to + row * Tiles::kStride + column;
    if (packed && inside && column < shape.head_dim) {
      copy_pack_async(place, from);
      continue;
    }
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      pack.value[i] = inside && column + i < shape.head_dim ? from[i] : narrow<T>(0);
    }
    store_pack(place, pack);
  }
}

/// Goes through the tiles of visited rows that begin at `first`, first + kVisited, ... before
/// `end`: load(row, stage) begins to load the tile at `row` into one of kStages buffers, and
/// visit(row, stage) works on it when it is there. All of the block's threads take part.
template <class Tiles, class Load, class Visit>
__device__ inline void for_each_tile(std::int64_t first, std::int64_t end, const Load& load,
                                     const Visit& visit) {
  int stage = 0;
  load(first, stage);
  for (std::int64_t row = first; row < end; row += Tiles::kVisited) {
    const std::int64_t next = row + Tiles::kVisited;
    finish_async_copies();
    __syncthreads();
    if (Tiles::kStages == 2 && next < end) load(next, 1 - stage);
    visit(row, stage);
    if constexpr (Tiles::kStages == 2) {
      stage = 1 - stage;
    } else {
      __syncthreads();
      if (next < end) load(next, stage);
    }
  }
}

/// Writes the warp's sums to rows [first, first + kStripe) of a head, which are `leading` apart:
/// through `stripe`, in shared memory, where its owned rows were. No lane reads those any more: a
/// barrier of the warp stands between.
template <class Tiles, class T>
__device__ inline void store_sums(const AttentionShape& shape, bool packed,
                                  const typename Tiles::Map& map, typename Tiles::Sums& sums,
                                  T* stripe, T* head, std::int64_t leading, std::int64_t first) {
  sums.template store<Tiles::kStride>(map, stripe);
  __syncwarp();
  constexpr int kSize = Pack<T>::kSize, kPacksOfRow = Tiles::kDim / kSize;
  for (int p = lane_of_warp(); p < Tiles::kStripe * kPacksOfRow; p += 32) {
    const int row = p / kPacksOfRow, column = p % kPacksOfRow * kSize;
    if (first + row >= shape.tokens || column >= shape.head_dim) continue;
    const Pack<T> pack = load_pack(stripe + row * Tiles::kStride + column);
    T* const to = head + (first + row) * leading + column;
    if (packed) {
      store_pack(to, pack);
    } else {
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        if (column + i < shape.head_dim) to[i] = pack.value[i];
      }
    }
  }
}

/// The bits of kCount <= 32 consecutive mask elements from `first` on, each set where the element
/// is kept. They begin anywhere in a Philox block.
template <int kCount, class A>
__device__ inline unsigned kept_bits(const DeviceMask<A>& mask, std::int64_t first) {
  const std::uint64_t element = static_cast<std::uint64_t>(first);
  const auto bits_of_block = [&](int block) {
    const PhiloxWords words = philox4x32(mask.random, element / 4 + static_cast<unsigned>(block));
    unsigned bits = 0;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      bits |= static_cast<unsigned>(words.word[w] >= mask.threshold) << w;
    }
    return bits;
  };
  unsigned bits = 0;
#pragma unroll
  for (int block = 0; block < kCount / 4; ++block) bits |= bits_of_block(block) << (4 * block);
  const int skipped = static_cast<int>(element % 4);
  if (skipped == 0) return bits;
  return bits >> skipped | bits_of_block(kCount / 4) << (kCount - skipped);
}

/// Draws the mask of kQueries queries from `first_query` on and kKeys keys from `first_key` on into
/// `kept`, kWordsOf<kKeys> words for each query. All of the block's threads take part.
template <int kKeys>
inline constexpr int kWordsOf = (kKeys + 31) / 32;
template <class Tiles, int kQueries, int kKeys, class A>
__device__ inline void draw_mask(const DeviceMask<A>& mask, const AttentionShape& shape,
                                 const HeadPlace& place, std::int64_t first_query,
                                 std::int64_t first_key, unsigned* kept) {
  constexpr int kWords = kWordsOf<kKeys>, kBits = kKeys < 32 ? kKeys : 32;
  for (int i = static_cast<int>(threadIdx.x); i < kQueries * kWords; i += Tiles::kThreads) {
    const std::int64_t query = first_query + i / kWords, key = first_key + i % kWords * 32;
    kept[i] = kept_bits<kBits>(mask, place.mask_element + query * shape.tokens + key);
  }
}
/// Whether draw_mask() kept this query and key of the tile.
template <int kKeys>
__device__ inline bool was_kept(const unsigned* kept, int query, int key) {
  return (kept[query * kWordsOf<kKeys> + key / 32] >> (key % 32) & 1u) != 0;
}

/// visible[i] = whether the padding mask shows key first_key + i, for kCount keys; those after the
/// last one are not there to be seen. All of the block's threads take part.
template <class Tiles, int kCount>
__device__ inline void load_padding(const AttentionShape& shape, const std::int32_t* key_padding,
                                    std::int64_t first_key, bool* visible) {
  for (int i = static_cast<int>(threadIdx.x); i < kCount; i += Tiles::kThreads) {
    const std::int64_t key = first_key + i;
    visible[i] = key < shape.tokens && (key_padding == nullptr || key_padding[key] != 0);
  }
}

/// How many of a tile's keys the padding mask hides.
enum class Hidden { None, Some, All };
/// Of the kCount keys of `visible`; for all lanes of a warp, each of which gets the answer.
template <int kCount>
__device__ inline Hidden hidden_among(const bool* visible) {
  bool some = false, all = true;
  for (int i = lane_of_warp(); i < kCount; i += 32) {
    some = some || !visible[i];
    all = all && !visible[i];
  }
  if (__all_sync(kAllLanes, all)) return Hidden::All;
  return __any_sync(kAllLanes, some) ? Hidden::Some : Hidden::None;
}

/// The padding mask as kernels take it: null where all keys are visible.
inline const std::int32_t* padding_of(const Tensor& key_padding_mask) {
  return key_padding_mask.defined() ? device_data<std::int32_t>(key_padding_mask) : nullptr;
}

/// What a product of a query and a key is multiplied with to be a score.
inline double scale_of(const AttentionShape& shape) {
  return 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
}

/// Calls body(std::integral_constant<int, N>{}) with the least N that the kernels are compiled for
/// and that is no less than head_dim. @throws Error naming `where` when there is none.
template <class Body>
void dispatch_head_dim(std::int64_t head_dim, const char* where, Body&& body) {
  if (head_dim <= 32) {
    body(std::integral_constant<int, 32>{});
  } else if (head_dim <= 64) {
    body(std::integral_constant<int, 64>{});
  } else if (head_dim <= 128) {
    body(std::integral_constant<int, 128>{});
  } else if (head_dim <= 256) {
    body(std::integral_constant<int, 256>{});
  } else {
    fail(where, "head_dim is {}; the CUDA kernel takes at most 256", head_dim);
  }
}

}  // namespace shardgrad::cuda
