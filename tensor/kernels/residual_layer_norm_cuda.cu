#include "tensor/cuda/dropout.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/layer_norm.cuh"
#include "tensor/kernels/residual_layer_norm.h"

namespace shardgrad::cuda {
namespace {

// sum[n] = residual[n] + dropout(x[n]) for the columns that this lane will read again: those that
// for_each_of_row() gives it of `sum`.
template <class T>
__device__ void add_residual(const T* x, const T* residual, std::int64_t columns,
                             const DeviceMask<Accumulator<T>>& mask, std::int64_t first, T* sum) {
  using A = Accumulator<T>;
  constexpr int kSize = Pack<T>::kSize;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto add = [&](std::int64_t n, bool kept) {
    const A branch = widen(x[n]), skip = widen(residual[n]);
    sum[n] =
        narrow<T>(mask.threshold == 0 ? skip + branch : add_kept(kept, branch, mask.scale, skip));
  };
  const auto add_one = [&](std::int64_t n) {
    add(n, mask.threshold == 0 || mask.keeps(first + n));
  };
  const std::int64_t head = unaligned_head(sum, columns);
  for (std::int64_t n = lane; n < head; n += 32) add_one(n);
  const std::int64_t packs = (columns - head) / kSize;
  for (std::int64_t p = lane; p < packs; p += 32) {
    const std::int64_t start = head + p * kSize;
    const unsigned kept =
        mask.threshold == 0 ? ~0u : mask.template keeps_bits<kSize>(first + start);
#pragma unroll
    for (int i = 0; i < kSize; ++i) add(start + i, (kept >> i & 1u) != 0);
  }
  for (std::int64_t n = head + packs * kSize + lane; n < columns; n += 32) add_one(n);
}

template <class T>
__global__ void residual_layer_norm_kernel(std::int64_t rows, std::int64_t columns, const T* x,
                                           const T* residual, DeviceMask<Accumulator<T>> mask,
                                           const T* gamma, const T* beta, double epsilon, T* sum,
                                           T* y, Accumulator<T>* mean, Accumulator<T>* rstd) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;  // the whole warp, and there is no barrier below
  const std::int64_t first = row * columns;
  add_residual(x + first, residual + first, columns, mask, first, sum + first);
  normalize_row(sum + first, columns, gamma, beta, epsilon, y + first, mean + row, rstd + row);
}

}  // namespace

void residual_layer_norm_forward(const Tensor& x, const Tensor& residual, const DropoutMask& mask,
                                 const Tensor& gamma, const Tensor& beta, double epsilon,
                                 Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = x.size(0), columns = x.size(1);
  dispatch_element(x.dtype(), "residual_layer_norm_forward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    launch("residual_layer_norm_forward", blocks_for(rows, kWarpsOfBlock), kNormThreads, 0,
           residual_layer_norm_kernel<T>, rows, columns, device_data<T>(x),
           device_data<T>(residual), DeviceMask<A>(mask), device_data<T>(gamma),
           device_data<T>(beta), epsilon, device_data<T>(sum), device_data<T>(y),
           device_data<A>(mean), device_data<A>(rstd));
  });
}

}  // namespace shardgrad::cuda
