#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/kernels/column_sums.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/layer_norm.h"
#include "tensor/kernels/vector_math.h"
#include "tensor/round_up.h"

namespace shardgrad::cpu {

void layer_norm_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  constexpr const char* kName = "layer_norm_forward";
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  dispatch_floating(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const input = x.data<T>();
    const T* const scale = gamma.data<T>();
    const T* const shift = beta.data<T>();
    T* const output = y.data<T>();
    A* const means = mean.data<A>();
    A* const rstds = rstd.data<A>();
    const double inverse_columns = 1.0 / static_cast<double>(columns);
    parallel_rows(rows, columns, [=](std::int64_t row) {
      const T* const in = input + row * columns;
      T* const out = output + row * columns;
      const A center = static_cast<A>(
          long_sum<A>(columns, [=](std::int64_t n) { return widen(in[n]); }) * inverse_columns);
      const double squares = long_sum<A>(columns, [=](std::int64_t n) {
        const A deviation = widen(in[n]) - center;
        return deviation * deviation;
      });
      const A inverse = static_cast<A>(1.0 / std::sqrt(squares * inverse_columns + epsilon));
#pragma omp simd
      for (std::int64_t n = 0; n < columns; ++n) {
        store(out[n],
              multiply_add((widen(in[n]) - center) * inverse, widen(scale[n]), widen(shift[n])));
      }
      means[row] = center;
      rstds[row] = inverse;
    });
  });
}

void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, const Tensor& addend, Tensor& dx,
                         Tensor& dgamma, bool accumulate_gamma, Tensor& dbeta,
                         bool accumulate_beta) {
  constexpr const char* kName = "layer_norm_backward";
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  // The parameters' sums are made block by block and then over the blocks, whose size does not
  // depend on the number of threads.
  constexpr std::int64_t kBlock = 64;
  const std::int64_t blocks = parts_of(rows, kBlock);
  Tensor partial_sums = Tensor::empty({blocks, 2, columns}, DType::Float64);
  double* const partial = partial_sums.data<double>();
  dispatch_floating(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const input = x.data<T>();
    const T* const scale = gamma.data<T>();
    const A* const means = mean.data<A>();
    const A* const rstds = rstd.data<A>();
    const T* const gradient = dy.data<T>();
    const T* const past = addend.defined() ? addend.data<T>() : nullptr;
    T* const output = dx.data<T>();
    const double inverse_columns = 1.0 / static_cast<double>(columns);
    // With g = dy gamma and xhat = (x - mean) rstd:
    // dx = rstd (g - average(g) - xhat average(g xhat)).
    const auto input_gradient = [=](std::int64_t row) {
      const T* const in = input + row * columns;
      const T* const upstream = gradient + row * columns;
      T* const out = output + row * columns;
      const A center = means[row];
      const A inverse = rstds[row];
      const auto [sum_g, sum_g_xhat] = long_sums<A>(columns, [=](std::int64_t n) {
        const A g = widen(upstream[n]) * widen(scale[n]);
        return std::array<A, 2>{g, g * ((widen(in[n]) - center) * inverse)};
      });
      const A average_g = static_cast<A>(sum_g * inverse_columns);
      const A average_g_xhat = static_cast<A>(sum_g_xhat * inverse_columns);
      const auto centred_gradient = [=](std::int64_t n) {
        const A xhat = (widen(in[n]) - center) * inverse;
        return multiply_add(-xhat, average_g_xhat,
                            multiply_add(widen(upstream[n]), widen(scale[n]), -average_g));
      };
      if (past != nullptr) {
        const T* const added = past + row * columns;
#pragma omp simd
        for (std::int64_t n = 0; n < columns; ++n) {
          store(out[n], multiply_add(inverse, centred_gradient(n), widen(added[n])));
        }
      } else {
#pragma omp simd
        for (std::int64_t n = 0; n < columns; ++n) store(out[n], inverse * centred_gradient(n));
      }
    };
    const auto scale_term = [=](std::int64_t row, std::int64_t n) {
      const std::int64_t i = row * columns + n;
      return widen(gradient[i]) * ((widen(input[i]) - means[row]) * rstds[row]);
    };
    const auto shift_term = [=](std::int64_t row, std::int64_t n) {
      return widen(gradient[row * columns + n]);
    };
    parallel_rows(blocks, kBlock * columns, [=](std::int64_t block) {
      double* const scale_sums = partial + 2 * block * columns;
      double* const shift_sums = scale_sums + columns;
      std::fill(scale_sums, shift_sums + columns, 0.0);
      const std::int64_t end = std::min((block + 1) * kBlock, rows);
      for (std::int64_t row = block * kBlock; row < end; row += kRowsOfGroup) {
        const std::int64_t group = std::min(kRowsOfGroup, end - row);
        for (const T* const matrix : {input, gradient, past}) {
          if (matrix != nullptr) fetch_group(matrix, columns, row + kRowsOfGroup, 0, columns);
        }
        add_group<A>(scale_sums, scale_term, row, group, 0, columns);
        add_group<A>(shift_sums, shift_term, row, group, 0, columns);
        for (std::int64_t i = 0; i < group; ++i) input_gradient(row + i);
      }
    });
    sum_partials(partial, blocks, columns, 2 * columns, dgamma.data<A>(), accumulate_gamma);
    sum_partials(partial + columns, blocks, columns, 2 * columns, dbeta.data<A>(), accumulate_beta);
  });
}

}  // namespace shardgrad::cpu
