// Matrix multiplication.
#pragma once

#include "tensor/kernel.h"
#include "tensor/kernels/gelu.h"

namespace shardgrad {
namespace cpu {

/// c = a b (+ bias) (+ c when `accumulate`): a [M, K], b [K, N], c [M, N], bias [N] or undefined,
/// one floating dtype; c may also be of the accumulation dtype. Sums are formed in the accumulation
/// dtype and rounded once. a and b are row-major or column-major views (one stride is 1, the other
/// at least the extent it spans), so a transposed operand is `x.transpose(0, 1)` and a head of a
/// fused projection is a slice: nothing is copied. c is row-major with any leading dimension.
/// `bias` and `accumulate` exclude each other.
/// On the CPU float32 and bfloat16 go to oneDNN, float64 to Eigen; on CUDA all go to cuBLASLt.
void gemm(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& c, bool accumulate);

/// pre_activation = a b + bias, y = gelu(pre_activation), in the GEMM's epilogue where the library
/// can. a, b and bias as above; pre_activation and y contiguous [M, N], of a's dtype.
void gemm_bias_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, GeluKind kind,
                    Tensor& pre_activation, Tensor& y);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::gemm) gemm;
decltype(cpu::gemm_bias_gelu) gemm_bias_gelu;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::gemm) gemm;
[[gnu::weak]] decltype(cpu::gemm_bias_gelu) gemm_bias_gelu;
}  // namespace cuda

namespace kernels {
inline const Kernel gemm{"gemm", checks::gemm, cpu::gemm, cuda::gemm};
inline const Kernel gemm_bias_gelu{"gemm_bias_gelu", checks::gemm_bias_gelu, cpu::gemm_bias_gelu,
                                   cuda::gemm_bias_gelu};
}  // namespace kernels
}  // namespace shardgrad
