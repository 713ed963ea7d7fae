// Sums over the rows of a matrix, for each column, in an order that depends on the shape only.
#pragma once

#include "tensor/cuda/device_math.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/round_up.h"

namespace shardgrad::cuda {

/// N sums that are formed side by side from the same reads.
template <class A, int N>
struct Sums {
  A value[N];
};

inline constexpr int kColumnsOfBlock = 32;
inline constexpr int kRowsOfBlock = 8;

// Each block sums a chunk of the rows for 32 columns, a warp reading 32 neighbours of one row, and
// calls store(chunk, column, sums).
template <class A, int N, class Element, class Store>
__global__ void sum_chunks_kernel(std::int64_t rows, std::int64_t columns,
                                  std::int64_t rows_per_chunk, Element element, Store store) {
  __shared__ A of_warp[N][kRowsOfBlock][kColumnsOfBlock];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kColumnsOfBlock + threadIdx.x;
  const std::int64_t begin = blockIdx.y * rows_per_chunk;
  const std::int64_t end = min(begin + rows_per_chunk, rows);
  Sums<A, N> sums{};
  if (column < columns) {
    for (std::int64_t row = begin + threadIdx.y; row < end; row += kRowsOfBlock) {
      const Sums<A, N> terms = element(row, column);
#pragma unroll
      for (int i = 0; i < N; ++i) sums.value[i] += terms.value[i];
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) of_warp[i][threadIdx.y][threadIdx.x] = sums.value[i];
  __syncthreads();
  if (threadIdx.y == 0 && column < columns) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      for (int warp = 1; warp < kRowsOfBlock; ++warp) {
        sums.value[i] += of_warp[i][warp][threadIdx.x];
      }
    }
    store(blockIdx.y, column, sums);
  }
}

// The sums of the chunks, [chunks, N, columns]: where the first pass stores and the second reads.
template <class A, int N>
struct PartialSums {
  A* sums;
  std::int64_t columns;
  __device__ void operator()(std::int64_t chunk, std::int64_t column,
                             const Sums<A, N>& values) const {
#pragma unroll
    for (int i = 0; i < N; ++i) sums[(chunk * N + i) * columns + column] = values.value[i];
  }
  __device__ Sums<A, N> operator()(std::int64_t chunk, std::int64_t column) const {
    Sums<A, N> values;
#pragma unroll
    for (int i = 0; i < N; ++i) values.value[i] = sums[(chunk * N + i) * columns + column];
    return values;
  }
};

// The caller's store, in the second pass.
template <class A, int N, class Store>
struct StoreTotals {
  Store store;
  __device__ void operator()(std::int64_t, std::int64_t column, const Sums<A, N>& sums) const {
    store(column, sums);
  }
};

/// Calls store(column, sums) once for each column, sums being those over all rows of
/// element(row, column), which gives N terms. Both are objects with a __device__ call operator.
template <class A, int N, class Element, class Store>
void sum_columns(const char* name, std::int64_t rows, std::int64_t columns, const Element& element,
                 const Store& store, DType accumulator, Device device) {
  if (columns == 0) return;
  constexpr std::int64_t kMostChunks = 128;
  constexpr std::int64_t kFewestRows = 8 * kRowsOfBlock;  // of a chunk, unless there are no more
  const std::int64_t wanted = max(std::int64_t{1}, min(kMostChunks, rows / kFewestRows));
  const std::int64_t rows_per_chunk = max(std::int64_t{1}, parts_of(rows, wanted));
  const std::int64_t chunks = parts_of(rows, rows_per_chunk);
  Tensor partial = Tensor::empty({chunks, N, columns}, accumulator, device);
  const PartialSums<A, N> sums{device_data<A>(partial), columns};
  const StoreTotals<A, N, Store> totals{store};
  const unsigned blocks = blocks_for(columns, kColumnsOfBlock);
  const dim3 threads(kColumnsOfBlock, kRowsOfBlock);
  launch(name, dim3(blocks, static_cast<unsigned>(chunks)), threads, 0,
         sum_chunks_kernel<A, N, Element, PartialSums<A, N>>, rows, columns, rows_per_chunk,
         element, sums);
  launch(name, dim3(blocks), threads, 0,
         sum_chunks_kernel<A, N, PartialSums<A, N>, StoreTotals<A, N, Store>>, chunks, columns,
         chunks, sums, totals);
}

}  // namespace shardgrad::cuda
