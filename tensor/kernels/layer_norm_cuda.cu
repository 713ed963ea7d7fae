#include "tensor/cuda/column_sums.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/layer_norm.cuh"
#include "tensor/kernels/layer_norm.h"

namespace shardgrad::cuda {
namespace {

template <class T>
__global__ void forward_kernel(std::int64_t rows, std::int64_t columns, const T* x, const T* gamma,
                               const T* beta, double epsilon, T* y, Accumulator<T>* mean,
                               Accumulator<T>* rstd) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;  // the whole warp, and there is no barrier below
  normalize_row(x + row * columns, columns, gamma, beta, epsilon, y + row * columns, mean + row,
                rstd + row);
}

// With g = dy gamma and xhat = (x - mean) rstd:
// dx = addend + rstd (g - average(g) - xhat average(g xhat)).
template <class T>
__global__ void backward_input_kernel(std::int64_t rows, std::int64_t columns, const T* x,
                                      const T* gamma, const Accumulator<T>* mean,
                                      const Accumulator<T>* rstd, const T* dy, const T* addend,
                                      T* dx) {
  using A = Accumulator<T>;
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const T* const input = x + row * columns;
  const T* const upstream = dy + row * columns;
  const A center = mean[row], inverse = rstd[row];
  A sum_g = 0, sum_g_xhat = 0;
  for_each_of_row(input, columns, lane, 32, [&](std::int64_t n, A value) {
    const A g = widen(upstream[n]) * widen(gamma[n]);
    sum_g += g;
    sum_g_xhat += g * ((value - center) * inverse);
  });
  const A average_g = warp_sum(sum_g) / static_cast<A>(columns);
  const A average_g_xhat = warp_sum(sum_g_xhat) / static_cast<A>(columns);
  T* const out = dx + row * columns;
  const T* const past = addend == nullptr ? nullptr : addend + row * columns;
  for_each_of_row(input, columns, lane, 32, [&](std::int64_t n, A value) {
    const A xhat = (value - center) * inverse;
    const A centred = widen(upstream[n]) * widen(gamma[n]) - average_g - xhat * average_g_xhat;
    const A added = past == nullptr ? A(0) : widen(past[n]);
    out[n] = narrow<T>(fma(inverse, centred, added));
  });
}

// The terms of dgamma and dbeta.
template <class T>
struct ParameterTerms {
  using A = Accumulator<T>;
  const T* x;
  const T* dy;
  const A* mean;
  const A* rstd;
  std::int64_t columns;
  __device__ Sums<A, 2> operator()(std::int64_t row, std::int64_t column) const {
    const A upstream = widen(dy[row * columns + column]);
    const A xhat = (widen(x[row * columns + column]) - mean[row]) * rstd[row];
    return {{upstream * xhat, upstream}};
  }
};

template <class A>
struct StoreParameterGradients {
  A* dgamma;
  A* dbeta;
  bool accumulate_gamma, accumulate_beta;
  __device__ void operator()(std::int64_t column, const Sums<A, 2>& sums) const {
    dgamma[column] = (accumulate_gamma ? dgamma[column] : A(0)) + sums.value[0];
    dbeta[column] = (accumulate_beta ? dbeta[column] : A(0)) + sums.value[1];
  }
};

}  // namespace

void layer_norm_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = x.size(0), columns = x.size(1);
  dispatch_element(x.dtype(), "layer_norm_forward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    launch("layer_norm_forward", blocks_for(rows, kWarpsOfBlock), kNormThreads, 0,
           forward_kernel<T>, rows, columns, device_data<T>(x), device_data<T>(gamma),
           device_data<T>(beta), epsilon, device_data<T>(y), device_data<A>(mean),
           device_data<A>(rstd));
  });
}

void layer_norm_backward_input(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const Tensor& dy, const Tensor& addend,
                               Tensor& dx) {
  const std::int64_t rows = x.size(0), columns = x.size(1);
  dispatch_element(x.dtype(), "layer_norm_backward_input", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const past = addend.defined() ? device_data<T>(addend) : nullptr;
    launch("layer_norm_backward_input", blocks_for(rows, kWarpsOfBlock), kNormThreads, 0,
           backward_input_kernel<T>, rows, columns, device_data<T>(x), device_data<T>(gamma),
           device_data<A>(mean), device_data<A>(rstd), device_data<T>(dy), past,
           device_data<T>(dx));
  });
}

void layer_norm_backward_parameters(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, Tensor& dgamma, bool accumulate_gamma,
                                    Tensor& dbeta, bool accumulate_beta) {
  dispatch_element(x.dtype(), "layer_norm_backward_parameters", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const ParameterTerms<T> terms{device_data<T>(x), device_data<T>(dy), device_data<A>(mean),
                                  device_data<A>(rstd), x.size(1)};
    const StoreParameterGradients<A> store{device_data<A>(dgamma), device_data<A>(dbeta),
                                           accumulate_gamma, accumulate_beta};
    sum_columns<A, 2>("layer_norm_backward_parameters", x.size(0), x.size(1), terms, store,
                      mean.dtype(), x.device());
  });
}

}  // namespace shardgrad::cuda
