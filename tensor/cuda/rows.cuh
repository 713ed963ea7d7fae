// Loops over the elements of one row, sixteen bytes at a time wherever the row starts.
#pragma once

#include "tensor/cuda/device_math.cuh"

namespace shardgrad::cuda {

/// N neighbouring elements, read and written at once where N is a pack's.
template <int N, class T>
struct Chunk {
  T value[N];
};

template <int N, class T>
__device__ inline Chunk<N, T> load_chunk(const T* from) {
  static_assert(N == 1 || N == Pack<T>::kSize);
  Chunk<N, T> chunk;
  if constexpr (N == 1) {
    chunk.value[0] = *from;
  } else {
    const Pack<T> pack = load_pack(from);
#pragma unroll
    for (int i = 0; i < N; ++i) chunk.value[i] = pack.value[i];
  }
  return chunk;
}

template <int N, class T>
__device__ inline void store_chunk(T* to, const Chunk<N, T>& chunk) {
  if constexpr (N == 1) {
    *to = chunk.value[0];
  } else {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) pack.value[i] = chunk.value[i];
    store_pack(to, pack);
  }
}

/// How many elements of a row come before its first multiple of 16 bytes; at most `columns`.
template <class T>
__device__ inline std::int64_t unaligned_head(const T* row, std::int64_t columns) {
  const std::int64_t past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row) % 16);
  const std::int64_t head = (16 - past) % 16 / static_cast<std::int64_t>(sizeof(T));
  return head < columns ? head : columns;
}

/// Calls body(n, row[n]) for this thread's share of the `columns` elements of `row`, the work being
/// shared by `threads` threads, of which this is number `thread`. The values are widened.
template <class T, class Body>
__device__ inline void for_each_of_row(const T* row, std::int64_t columns, int thread, int threads,
                                       const Body& body) {
  constexpr std::int64_t kSize = Pack<T>::kSize;
  const std::int64_t head = unaligned_head(row, columns);
  for (std::int64_t n = thread; n < head; n += threads) body(n, widen(row[n]));
  const std::int64_t packs = (columns - head) / kSize;
  for (std::int64_t p = thread; p < packs; p += threads) {
    const std::int64_t first = head + p * kSize;
    const Pack<T> pack = load_pack(row + first);
#pragma unroll
    for (int i = 0; i < kSize; ++i) body(first + i, widen(pack.value[i]));
  }
  for (std::int64_t n = head + packs * kSize + thread; n < columns; n += threads) {
    body(n, widen(row[n]));
  }
}

/// row[n] = body(n, row[n]), rounded, likewise.
template <class T, class Body>
__device__ inline void replace_row(T* row, std::int64_t columns, int thread, int threads,
                                   const Body& body) {
  constexpr std::int64_t kSize = Pack<T>::kSize;
  const std::int64_t head = unaligned_head(row, columns);
  for (std::int64_t n = thread; n < head; n += threads) row[n] = narrow<T>(body(n, widen(row[n])));
  const std::int64_t packs = (columns - head) / kSize;
  for (std::int64_t p = thread; p < packs; p += threads) {
    const std::int64_t first = head + p * kSize;
    Pack<T> pack = load_pack(row + first);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      pack.value[i] = narrow<T>(body(first + i, widen(pack.value[i])));
    }
    store_pack(row + first, pack);
  }
  for (std::int64_t n = head + packs * kSize + thread; n < columns; n += threads) {
    row[n] = narrow<T>(body(n, widen(row[n])));
  }
}

}  // namespace shardgrad::cuda
