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

/// Gradient with respect to the input: dx = addend + d loss / d x, given dy = d loss / d y.
/// x, dy, dx [M, D]. addend [M, D] is the gradient that comes past the normalisation, on the
/// residual stream: it may be dx itself, or undefined (none).
void layer_norm_backward_input(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const Tensor& dy, const Tensor& addend,
                               Tensor& dx);

/// Gradients of the scale and the shift: dgamma = sum_m dy xhat, dbeta = sum_m dy; [D], each added
/// to what it holds when its flag says so; in the accumulation dtype.
void layer_norm_backward_parameters(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, Tensor& dgamma, bool accumulate_gamma,
                                    Tensor& dbeta, bool accumulate_beta);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::layer_norm_forward) layer_norm_forward;
decltype(cpu::layer_norm_backward_input) layer_norm_backward_input;
decltype(cpu::layer_norm_backward_parameters) layer_norm_backward_parameters;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::layer_norm_forward) layer_norm_forward;
[[gnu::weak]] decltype(cpu::layer_norm_backward_input) layer_norm_backward_input;
[[gnu::weak]] decltype(cpu::layer_norm_backward_parameters) layer_norm_backward_parameters;
}  // namespace cuda

namespace kernels {
inline const Kernel layer_norm_forward{"layer_norm_forward", checks::layer_norm_forward,
                                       cpu::layer_norm_forward, cuda::layer_norm_forward};
inline const Kernel layer_norm_backward_input{
    "layer_norm_backward_input", checks::layer_norm_backward_input, cpu::layer_norm_backward_input,
    cuda::layer_norm_backward_input};
inline const Kernel layer_norm_backward_parameters{
    "layer_norm_backward_parameters", checks::layer_norm_backward_parameters,
    cpu::layer_norm_backward_parameters, cuda::layer_norm_backward_parameters};
}  // namespace kernels
}  // namespace shardgrad
