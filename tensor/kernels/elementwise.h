// Arithmetic on whole tensors. All tensors are contiguous and of one floating dtype; an output may
// be the same tensor as an input.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {
namespace cpu {

/// out = a + b, equal shapes.
void add(const Tensor& a, const Tensor& b, Tensor& out);

/// out = a * b element by element, equal shapes.
void multiply(const Tensor& a, const Tensor& b, Tensor& out);

/// out = factor * x.
void scale(const Tensor& x, double factor, Tensor& out);

/// out[m, n] = x[m, n] + bias[n]; x and out [M, N], bias [N].
void add_bias(const Tensor& x, const Tensor& bias, Tensor& out);

/// out[n] = sum over m of x[m, n], added to what out holds when `accumulate`; x [M, N], out [N].
/// The order of summation does not depend on the values.
void sum_rows(const Tensor& x, Tensor& out, bool accumulate);

}  // namespace cpu

namespace kernels {
inline constexpr Kernel add{"add", cpu::add};
inline constexpr Kernel multiply{"multiply", cpu::multiply};
inline constexpr Kernel scale{"scale", cpu::scale};
inline constexpr Kernel add_bias{"add_bias", cpu::add_bias};
inline constexpr Kernel sum_rows{"sum_rows", cpu::sum_rows};
}  // namespace kernels
}  // namespace shardgrad
