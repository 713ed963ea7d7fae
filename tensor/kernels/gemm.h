// Matrix multiplication.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {
namespace cpu {

/// c = a b (+ bias) (+ c when `accumulate`): a [M, K], b [K, N], c [M, N], bias [N] or undefined,
/// one floating dtype. a and b are row-major or column-major views (one stride is 1, the other at
/// least the extent it spans), so a transposed operand is `x.transpose(0, 1)` and a head of a fused
/// projection is a slice: nothing is copied. c is row-major with any leading dimension.
/// float32 goes to oneDNN, float64 to Eigen. `bias` and `accumulate` exclude each other.
void gemm(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& c, bool accumulate);

}  // namespace cpu

namespace kernels {
inline constexpr Kernel gemm{"gemm", cpu::gemm};
}  // namespace kernels
}  // namespace shardgrad
