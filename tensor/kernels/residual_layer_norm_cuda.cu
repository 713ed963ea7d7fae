#include "tensor/cuda/dropout.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/layer_norm.cuh"
#include "tensor/kernels/residual_layer_norm.h"

namespace shardgrad::cuda {
namespace {

// sum[:] = residual[:] + dropout(x[:]), of a row whose first element is number `first` of the
// tensor. Returns what this lane has of the sum of sum[:].
template <int N, class T>
__device__ Accumulator<T> add_residual(const T* x, const T* residual, std::int64_t columns,
                                       const DeviceMask<Accumulator<T>>& mask, std::int64_t first,
                                       T* sum) {
  using A = Accumulator<T>;
  A total = 0;
  for_each_chunk<N>(columns, [&](std::int64_t n) {
    const Chunk<N, T> branch = load_chunk<N>(x + n), skip = load_chunk<N>(residual + n);
    const unsigned kept = mask.threshold == 0 ? ~0u : mask.template keeps_bits<N>(first + n);
    Chunk<N, T> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A value = widen(branch.value[i]), past = widen(skip.value[i]);
      out.value[i] =
          narrow<T>(mask.threshold == 0 ? past + value
                                        : add_kept((kept >> i & 1u) != 0, value, mask.scale, past));
      total += widen(out.value[i]);
    }
    store_chunk<N>(sum + n, out);
  });
  return total;
}

template <int N, class T>
__global__ void residual_layer_norm_kernel(std::int64_t rows, std::int64_t columns, const T* x,
                                           const T* residual, DeviceMask<Accumulator<T>> mask,
                                           const T* gamma, const T* beta, double epsilon, T* sum,
                                           T* y, Accumulator<T>* mean, Accumulator<T>* rstd) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;  // the whole warp, and there is no barrier below
  const std::int64_t first = row * columns;
  const Accumulator<T> total =
      add_residual<N>(x + first, residual + first, columns, mask, first, sum + first);
  normalize_row<N>(sum + first, total, columns, gamma, beta, epsilon, y + first, mean + row,
                   rstd + row);
}

}  // namespace

void residual_layer_norm_forward(const Tensor& x, const Tensor& residual, const DropoutMask& mask,
                                 const Tensor& gamma, const Tensor& beta, double epsilon,
                                 Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = x.size(0), columns = x.size(1);
  dispatch_element(x.dtype(), "residual_layer_norm_forward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const bool packed =
        fits_packs<T>(columns, device_data<T>(x), device_data<T>(residual), device_data<T>(gamma),
                      device_data<T>(beta), device_data<T>(sum), device_data<T>(y));
    const auto kernel =
        packed ? residual_layer_norm_kernel<Pack<T>::kSize, T> : residual_layer_norm_kernel<1, T>;
    launch("residual_layer_norm_forward", blocks_for(rows, kWarpsOfBlock), kNormThreads, 0, kernel,
           rows, columns, device_data<T>(x), device_data<T>(residual), DeviceMask<A>(mask),
           device_data<T>(gamma), device_data<T>(beta), epsilon, device_data<T>(sum),
           device_data<T>(y), device_data<A>(mean), device_data<A>(rstd));
  });
}

}  // namespace shardgrad::cuda
