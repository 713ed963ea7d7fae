// Layer normalisation over the last dimension. Source: Ba, Kiros, Hinton, arXiv:1607.06450.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {
namespace cpu {

/// y[m, :] = (x[m, :] - mean[m]) * rstd[m] * gamma + beta, with the biased variance:
/// rstd = 1 / sqrt(var + epsilon). x, y [M, D]; gamma, beta [D]; mean, rstd [M] (outputs, kept for
/// the backward pass, in the accumulation dtype). Contiguous, one floating dtype.
void layer_norm_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                        Tensor& y, Tensor& mean, Tensor& rstd);

/// The gradients, given dy = d loss / d y; x, dy, dx [M, D]. dx = addend + d loss / d x; addend
/// [M, D] is the gradient that comes past the normalisation, on the residual stream: it may be dx
/// itself, or undefined (none). dgamma = sum_m dy xhat and dbeta = sum_m dy, [D] in the
/// accumulation dtype, each added to what it holds when its flag says so; two different tensors.
void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, const Tensor& addend, Tensor& dx,
                         Tensor& dgamma, bool accumulate_gamma, Tensor& dbeta,
                         bool accumulate_beta);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::layer_norm_forward) layer_norm_forward;
decltype(cpu::layer_norm_backward) layer_norm_backward;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::layer_norm_forward) layer_norm_forward;
[[gnu::weak]] decltype(cpu::layer_norm_backward) layer_norm_backward;
}  // namespace cuda

namespace kernels {
inline const Kernel layer_norm_forward{"layer_norm_forward", checks::layer_norm_forward,
                                       cpu::layer_norm_forward, cuda::layer_norm_forward};
inline const Kernel layer_norm_backward{"layer_norm_backward", checks::layer_norm_backward,
                                        cpu::layer_norm_backward, cuda::layer_norm_backward};
}  // namespace kernels
}  // namespace shardgrad
