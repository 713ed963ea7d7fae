// Reductions of a whole contiguous tensor to one float64 number, accumulated in float64 in an order
// that depends only on the element count, not on the number of threads.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {
namespace cpu {

/// out = sum of x's elements; out is one float64 element.
void sum(const Tensor& x, Tensor& out);

/// out = sum of the squares of x's elements; out is one float64 element. Not finite exactly when
/// an element is not finite (float32 squares cannot overflow a float64).
void sum_of_squares(const Tensor& x, Tensor& out);

/// out = the largest |a - b|; equal shapes; NaN when an element of either is NaN.
void max_abs_difference(const Tensor& a, const Tensor& b, Tensor& out);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::sum) sum;
decltype(cpu::sum_of_squares) sum_of_squares;
decltype(cpu::max_abs_difference) max_abs_difference;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::sum) sum;
[[gnu::weak]] decltype(cpu::sum_of_squares) sum_of_squares;
[[gnu::weak]] decltype(cpu::max_abs_difference) max_abs_difference;
}  // namespace cuda

namespace kernels {
inline const Kernel sum{"sum", checks::sum, cpu::sum, cuda::sum};
inline const Kernel sum_of_squares{"sum_of_squares", checks::sum_of_squares, cpu::sum_of_squares,
                                   cuda::sum_of_squares};
inline const Kernel max_abs_difference{"max_abs_difference", checks::max_abs_difference,
                                       cpu::max_abs_difference, cuda::max_abs_difference};
}  // namespace kernels
}  // namespace shardgrad
