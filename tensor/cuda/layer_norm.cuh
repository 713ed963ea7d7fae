// One row of a layer normalisation, by one warp.
#pragma once

#include "tensor/cuda/device_math.cuh"
#include "tensor/cuda/rows.cuh"

namespace shardgrad::cuda {

inline constexpr int kWarpsOfBlock = 8;
inline constexpr int kNormThreads = 32 * kWarpsOfBlock;

/// The row that this warp works on, of a grid of blocks_for(rows, kWarpsOfBlock) blocks of
/// kNormThreads.
__device__ inline std::int64_t row_of_warp() {
  return static_cast<std::int64_t>(blockIdx.x) * kWarpsOfBlock + threadIdx.x / 32;
}

/// Calls body(n) for the first element n of each chunk of N of a row that this lane works on.
template <int N, class Body>
__device__ inline void for_each_chunk(std::int64_t columns, const Body& body) {
  for (std::int64_t n = threadIdx.x % 32 * N; n < columns; n += 32 * N) body(n);
}

/// y[:] = (x[:] - mean) * rstd * gamma + beta, in chunks of N, which divides `columns`. `sum` is
/// what this lane has of the sum of x. The lanes read what they wrote themselves, or what was there
/// before the kernel. The variance is formed around the mean: E[x^2] - E[x]^2 would lose what there
/// is of it beside a large mean.
template <int N, class T>
__device__ inline void normalize_row(const T* x, Accumulator<T> sum, std::int64_t columns,
                                     const T* gamma, const T* beta, double epsilon, T* y,
                                     Accumulator<T>* mean, Accumulator<T>* rstd) {
  using A = Accumulator<T>;
  const A inverse_columns = A(1) / static_cast<A>(columns);
  const A center = warp_sum(sum) * inverse_columns;
  A squares = 0;
  for_each_chunk<N>(columns, [&](std::int64_t n) {
    const Chunk<N, T> in = load_chunk<N>(x + n);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A difference = widen(in.value[i]) - center;
      squares += difference * difference;
    }
  });
  const A variance = warp_sum(squares) * inverse_columns;
  const A inverse = A(1) / sqrt(variance + static_cast<A>(epsilon));
  for_each_chunk<N>(columns, [&](std::int64_t n) {
    const Chunk<N, T> in = load_chunk<N>(x + n), scale = load_chunk<N>(gamma + n),
                      shift = load_chunk<N>(beta + n);
    Chunk<N, T> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out.value[i] = narrow<T>(fma((widen(in.value[i]) - center) * inverse, widen(scale.value[i]),
                                   widen(shift.value[i])));
    }
    store_chunk<N>(y + n, out);
  });
  if (threadIdx.x % 32 == 0) {
    *mean = center;
    *rstd = inverse;
  }
}

}  // namespace shardgrad::cuda
