#include "tensor/cuda/column_sums.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/layer_norm.cuh"
#include "tensor/kernels/layer_norm.h"

namespace shardgrad::cuda {
namespace {

template <int N, class T>
__global__ void forward_kernel(std::int64_t rows, std::int64_t columns, const T* x, const T* gamma,
                               const T* beta, double epsilon, T* y, Accumulator<T>* mean,
                               Accumulator<T>* rstd) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;  // the whole warp, and there is no barrier below
  const T* const input = x + row * columns;
  Accumulator<T> sum = 0;
  for_each_chunk<N>(columns, [&](std::int64_t n) {
    const Chunk<N, T> in = load_chunk<N>(input + n);
#pragma unroll
    for (int i = 0; i < N; ++i) sum += widen(in.value[i]);
  });
  normalize_row<N>(input, sum, columns, gamma, beta, epsilon, y + row * columns, mean + row,
                   rstd + row);
}

// With g = dy gamma and xhat = (x - mean) rstd:
// dx = addend + rstd (g - average(g) - xhat average(g xhat)).
template <int N, class T>
__global__ void backward_input_kernel(std::int64_t rows, std::int64_t columns, const T* x,
                                      const T* gamma, const Accumulator<T>* mean,
                                      const Accumulator<T>* rstd, const T* dy, const T* addend,
                                      T* dx) {
  using A = Accumulator<T>;
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;
  const T* const input = x + row * columns;
  const T* const upstream = dy + row * columns;
  const A center = mean[row], inverse = rstd[row];
  // Calls body(n, xhat[], g[]) for each chunk.
  const auto for_each = [&](const auto& body) {
    for_each_chunk<N>(columns, [&](std::int64_t n) {
      const Chunk<N, T> in = load_chunk<N>(input + n), up = load_chunk<N>(upstream + n),
                        scale = load_chunk<N>(gamma + n);
      Chunk<N, A> xhat, g;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        xhat.value[i] = (widen(in.value[i]) - center) * inverse;
        g.value[i] = widen(up.value[i]) * widen(scale.value[i]);
      }
      body(n, xhat, g);
    });
  };
  A sum_g = 0, sum_g_xhat = 0;
  for_each([&](std::int64_t, const Chunk<N, A>& xhat, const Chunk<N, A>& g) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      sum_g += g.value[i];
      sum_g_xhat += g.value[i] * xhat.value[i];
    }
  });
  const A average_g = warp_sum(sum_g) / static_cast<A>(columns);
  const A average_g_xhat = warp_sum(sum_g_xhat) / static_cast<A>(columns);
  for_each([&](std::int64_t n, const Chunk<N, A>& xhat, const Chunk<N, A>& g) {
    Chunk<N, T> out{};
    if (addend != nullptr) out = load_chunk<N>(addend + row * columns + n);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A centred = g.value[i] - average_g - xhat.value[i] * average_g_xhat;
      out.value[i] =
          narrow<T>(fma(inverse, centred, addend == nullptr ? A(0) : widen(out.value[i])));
    }
    store_chunk<N>(dx + row * columns + n, out);
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

// The gradient of the input: a warp for each row.
template <class T>
void backward_input(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                    const Tensor& dy, const Tensor& addend, Tensor& dx) {
  using A = Accumulator<T>;
  const std::int64_t rows = x.size(0), columns = x.size(1);
  const T* const past = addend.defined() ? device_data<T>(addend) : nullptr;
  const bool packed = fits_packs<T>(columns, device_data<T>(x), device_data<T>(gamma),
                                    device_data<T>(dy), past, device_data<T>(dx));
  const auto kernel =
      packed ? backward_input_kernel<Pack<T>::kSize, T> : backward_input_kernel<1, T>;
  launch("layer_norm_backward", blocks_for(rows, kWarpsOfBlock), kNormThreads, 0, kernel, rows,
         columns, device_data<T>(x), device_data<T>(gamma), device_data<A>(mean),
         device_data<A>(rstd), device_data<T>(dy), past, device_data<T>(dx));
}

}  // namespace

void layer_norm_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = x.size(0), columns = x.size(1);
  dispatch_element(x.dtype(), "layer_norm_forward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const bool packed = fits_packs<T>(columns, device_data<T>(x), device_data<T>(gamma),
                                      device_data<T>(beta), device_data<T>(y));
    const auto kernel = packed ? forward_kernel<Pack<T>::kSize, T> : forward_kernel<1, T>;
    launch("layer_norm_forward", blocks_for(rows, kWarpsOfBlock), kNormThreads, 0, kernel, rows,
           columns, device_data<T>(x), device_data<T>(gamma), device_data<T>(beta), epsilon,
           device_data<T>(y), device_data<A>(mean), device_data<A>(rstd));
  });
}

void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, const Tensor& addend, Tensor& dx,
                         Tensor& dgamma, bool accumulate_gamma, Tensor& dbeta,
                         bool accumulate_beta) {
  constexpr const char* kName = "layer_norm_backward";
  dispatch_element(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    backward_input<T>(x, gamma, mean, rstd, dy, addend, dx);
    const ParameterTerms<T> terms{device_data<T>(x), device_data<T>(dy), device_data<A>(mean),
                                  device_data<A>(rstd), x.size(1)};
    const StoreParameterGradients<A> store{device_data<A>(dgamma), device_data<A>(dbeta),
                                           accumulate_gamma, accumulate_beta};
    sum_columns<A, 2>(kName, x.size(0), x.size(1), terms, store, mean.dtype(), x.device());
  });
}

}  // namespace shardgrad::cuda
