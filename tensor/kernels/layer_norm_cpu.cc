#include <cmath>

#include "tensor/kernels/column_sums.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/layer_norm.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {

void layer_norm_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  constexpr const char* kName = "layer_norm_forward";
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  dispatch_accumulator(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    const T* const input = x.data<T>();
    const T* const scale = gamma.data<T>();
    const T* const shift = beta.data<T>();
    T* const output = y.data<T>();
    T* const means = mean.data<T>();
    T* const rstds = rstd.data<T>();
    const double inverse_columns = 1.0 / static_cast<double>(columns);
    parallel_rows(rows, columns, [=](std::int64_t row) {
      const T* const in = input + row * columns;
      T* const out = output + row * columns;
      const T center = static_cast<T>(long_sum<T>(columns, [=](std::int64_t n) { return in[n]; }) *
                                      inverse_columns);
      const double squares = long_sum<T>(columns, [=](std::int64_t n) {
        const T deviation = in[n] - center;
        return deviation * deviation;
      });
      const T inverse = static_cast<T>(1.0 / std::sqrt(squares * inverse_columns + epsilon));
#pragma omp simd
      for (std::int64_t n = 0; n < columns; ++n) {
        out[n] = multiply_add((in[n] - center) * inverse, scale[n], shift[n]);
      }
      means[row] = center;
      rstds[row] = inverse;
    });
  });
}

void layer_norm_backward_input(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const Tensor& dy, const Tensor& addend,
                               Tensor& dx) {
  constexpr const char* kName = "layer_norm_backward_input";
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  dispatch_accumulator(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    const T* const input = x.data<T>();
    const T* const scale = gamma.data<T>();
    const T* const means = mean.data<T>();
    const T* const rstds = rstd.data<T>();
    const T* const gradient = dy.data<T>();
    const T* const past = addend.defined() ? addend.data<T>() : nullptr;
    T* const output = dx.data<T>();
    const double inverse_columns = 1.0 / static_cast<double>(columns);
    // With g = dy gamma and xhat = (x - mean) rstd:
    // dx = rstd (g - average(g) - xhat average(g xhat)).
    parallel_rows(rows, columns, [=](std::int64_t row) {
      const T* const in = input + row * columns;
      const T* const upstream = gradient + row * columns;
      T* const out = output + row * columns;
      const T center = means[row];
      const T inverse = rstds[row];
      const T average_g = static_cast<T>(
          long_sum<T>(columns, [=](std::int64_t n) { return upstream[n] * scale[n]; }) *
          inverse_columns);
      const T average_g_xhat =
          static_cast<T>(long_sum<T>(columns,
                                     [=](std::int64_t n) {
                                       return upstream[n] * scale[n] * ((in[n] - center) * inverse);
                                     }) *
                         inverse_columns);
      const auto centred_gradient = [=](std::int64_t n) {
        const T xhat = (in[n] - center) * inverse;
        return multiply_add(-xhat, average_g_xhat, multiply_add(upstream[n], scale[n], -average_g));
      };
      if (past != nullptr) {
        const T* const added = past + row * columns;
#pragma omp simd
        for (std::int64_t n = 0; n < columns; ++n) {
          out[n] = multiply_add(inverse, centred_gradient(n), added[n]);
        }
      } else {
#pragma omp simd
        for (std::int64_t n = 0; n < columns; ++n) out[n] = inverse * centred_gradient(n);
      }
    });
  });
}

void layer_norm_backward_parameters(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, Tensor& dgamma, bool accumulate_gamma,
                                    Tensor& dbeta, bool accumulate_beta) {
  constexpr const char* kName = "layer_norm_backward_parameters";
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  dispatch_accumulator(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    const T* const input = x.data<T>();
    const T* const means = mean.data<T>();
    const T* const rstds = rstd.data<T>();
    const T* const gradient = dy.data<T>();
    const auto scale_term = [=](std::int64_t row, std::int64_t n) {
      const std::int64_t i = row * columns + n;
      return gradient[i] * ((input[i] - means[row]) * rstds[row]);
    };
    const auto shift_term = [=](std::int64_t row, std::int64_t n) {
      return gradient[row * columns + n];
    };
    sum_columns<T>(
        rows, columns,
        ColumnSum<T, decltype(scale_term)>{scale_term, dgamma.data<T>(), accumulate_gamma},
        ColumnSum<T, decltype(shift_term)>{shift_term, dbeta.data<T>(), accumulate_beta});
  });
}

}  // namespace shardgrad::cpu
