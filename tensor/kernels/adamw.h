// Adam with decoupled weight decay over a flat buffer, in one pass.
// Source: Kingma, Ba, arXiv:1412.6980; Loshchilov, Hutter, arXiv:1711.05101.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {

/// The numbers of one AdamW step.
struct AdamWStep {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.0;       ///< of these parameters; 0 for biases and norms
  double max_gradient_norm = 0.0;  ///< gradients are clipped to this global norm; 0: not clipped
  std::int64_t step = 1;           ///< counted from 1, for the bias corrections
};

namespace cpu {

/// g = clip * gradient; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// parameter -= lr * weight_decay * parameter;
/// parameter -= lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
///
/// gradient_norm, one float64 element or undefined, is the Euclidean norm of all gradients of the
/// model: clip = min(1, max_gradient_norm / gradient_norm). It is read here, where it was computed,
/// so that nobody waits for it. When it is not finite nothing is changed: the step is skipped.
///
/// rounded (bfloat16, or undefined) also receives the new parameters: they are the fp32 master
/// weights of a bf16 model then. All others contiguous, one dtype (float32 or float64), one shape.
void adamw(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
           const Tensor& gradient_norm, const AdamWStep& step, Tensor& rounded);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::adamw) adamw;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::adamw) adamw;
}  // namespace cuda

namespace kernels {
inline const Kernel adamw{"adamw", checks::adamw, cpu::adamw, cuda::adamw};
}  // namespace kernels
}  // namespace shardgrad
