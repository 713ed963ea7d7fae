// The Gaussian error linear unit. Source: Hendrycks, Gimpel, arXiv:1606.08415.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {

/// Exact: x Phi(x), with the error function. Tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))),
/// which GPT-2 was trained with.
enum class GeluKind { Exact, Tanh };

namespace cpu {

/// y = gelu(x); contiguous, equal shapes; y may be x.
void gelu_forward(const Tensor& x, Tensor& y, GeluKind kind);

/// dx = dy * gelu'(x); contiguous, equal shapes; dx may be dy.
void gelu_backward(const Tensor& x, const Tensor& dy, Tensor& dx, GeluKind kind);

/// Both at once, each with the bits of the function above: y = gelu(x), dx = dy * gelu'(x);
/// contiguous, equal shapes; y may be x, and dx may be dy. In one pass, which in place reads and
/// writes two arrays; one after the other reads three and writes two, one of them new to the cache.
void gelu_backward_and_value(const Tensor& x, const Tensor& dy, Tensor& y, Tensor& dx,
                             GeluKind kind);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::gelu_forward) gelu_forward;
decltype(cpu::gelu_backward) gelu_backward;
decltype(cpu::gelu_backward_and_value) gelu_backward_and_value;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::gelu_forward) gelu_forward;
[[gnu::weak]] decltype(cpu::gelu_backward) gelu_backward;
[[gnu::weak]] decltype(cpu::gelu_backward_and_value) gelu_backward_and_value;
}  // namespace cuda

namespace kernels {
inline const Kernel gelu_forward{"gelu_forward", checks::gelu_forward, cpu::gelu_forward,
                                 cuda::gelu_forward};
inline const Kernel gelu_backward{"gelu_backward", checks::gelu_backward, cpu::gelu_backward,
                                  cuda::gelu_backward};
inline const Kernel gelu_backward_and_value{
    "gelu_backward_and_value", checks::gelu_backward_and_value, cpu::gelu_backward_and_value,
    cuda::gelu_backward_and_value};
}  // namespace kernels
}  // namespace shardgrad
