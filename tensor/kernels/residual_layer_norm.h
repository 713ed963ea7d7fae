// The end of a residual branch and the layer normalisation that follows it, in one pass over
// memory.
#pragma once

#include "tensor/kernel.h"
#include "tensor/kernels/dropout.h"

namespace shardgrad {
namespace cpu {

/// sum = residual + dropout(x), as dropout_add(); y, mean, rstd = layer_norm_forward(sum).
/// x, residual, sum, y [M, D]; sum may be x or residual. The result has the bits of the two kernels
/// run one after the other.
void residual_layer_norm_forward(const Tensor& x, const Tensor& residual, const DropoutMask& mask,
                                 const Tensor& gamma, const Tensor& beta, double epsilon,
                                 Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::residual_layer_norm_forward) residual_layer_norm_forward;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::residual_layer_norm_forward) residual_layer_norm_forward;
}  // namespace cuda

namespace kernels {
inline const Kernel residual_layer_norm_forward{
    "residual_layer_norm_forward", checks::residual_layer_norm_forward,
    cpu::residual_layer_norm_forward, cuda::residual_layer_norm_forward};
}  // namespace kernels
}  // namespace shardgrad
