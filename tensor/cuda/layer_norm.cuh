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

/// y[:] = (x[:] - mean) * rstd * gamma + beta. The lanes read what they wrote themselves, or what
/// was there before the kernel. The variance is formed around the mean: E[x^2] - E[x]^2 would lose
/// what there is of it beside a large mean.
template <class T>
__device__ inline void normalize_row(const T* x, std::int64_t columns, const T* gamma,
                                     const T* beta, double epsilon, T* y, Accumulator<T>* mean,
                                     Accumulator<T>* rstd) {
  using A = Accumulator<T>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const A inverse_columns = A(1) / static_cast<A>(columns);
  A sum = 0;
  for_each_of_row(x, columns, lane, 32, [&](std::int64_t, A value) { sum += value; });
  const A center = warp_sum(sum) * inverse_columns;
  A squares = 0;
  for_each_of_row(x, columns, lane, 32,
                  [&](std::int64_t, A value) { squares += (value - center) * (value - center); });
  const A variance = warp_sum(squares) * inverse_columns;
  const A inverse = A(1) / sqrt(variance + static_cast<A>(epsilon));
  for_each_of_row(x, columns, lane, 32, [&](std::int64_t n, A value) {
    y[n] = narrow<T>(fma((value - center) * inverse, widen(gamma[n]), widen(beta[n])));
  });
  if (lane == 0) {
    *mean = center;
    *rstd = inverse;
  }
}

}  // namespace shardgrad::cuda
