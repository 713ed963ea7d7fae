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

/// out = sqrt(x).
void square_root(const Tensor& x, Tensor& out);

/// out becomes NaN where x is above `limit`, or NaN; elsewhere it keeps what it holds. Equal
/// shapes.
void reject_above(const Tensor& x, double limit, Tensor& out);

/// out[m, n] = x[m, n] + bias[n]; x and out [M, N], bias [N].
void add_bias(const Tensor& x, const Tensor& bias, Tensor& out);

/// out[n] = sum over m of x[m, n], added to what out holds when `accumulate`; x [M, N], out [N].
/// The order of summation does not depend on the values. out is of x's or the accumulation dtype.
void sum_rows(const Tensor& x, Tensor& out, bool accumulate);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::add) add;
decltype(cpu::multiply) multiply;
decltype(cpu::scale) scale;
decltype(cpu::square_root) square_root;
decltype(cpu::reject_above) reject_above;
decltype(cpu::add_bias) add_bias;
decltype(cpu::sum_rows) sum_rows;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::add) add;
[[gnu::weak]] decltype(cpu::multiply) multiply;
[[gnu::weak]] decltype(cpu::scale) scale;
[[gnu::weak]] decltype(cpu::square_root) square_root;
[[gnu::weak]] decltype(cpu::reject_above) reject_above;
[[gnu::weak]] decltype(cpu::add_bias) add_bias;
[[gnu::weak]] decltype(cpu::sum_rows) sum_rows;
}  // namespace cuda

namespace kernels {
inline const Kernel add{"add", checks::add, cpu::add, cuda::add};
inline const Kernel multiply{"multiply", checks::multiply, cpu::multiply, cuda::multiply};
inline const Kernel scale{"scale", checks::scale, cpu::scale, cuda::scale};
inline const Kernel square_root{"square_root", checks::square_root, cpu::square_root,
                                cuda::square_root};
inline const Kernel reject_above{"reject_above", checks::reject_above, cpu::reject_above,
                                 cuda::reject_above};
inline const Kernel add_bias{"add_bias", checks::add_bias, cpu::add_bias, cuda::add_bias};
inline const Kernel sum_rows{"sum_rows", checks::sum_rows, cpu::sum_rows, cuda::sum_rows};
}  // namespace kernels
}  // namespace shardgrad
