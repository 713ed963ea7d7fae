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
  double weight_decay = 0.0;    ///< of these parameters; 0 for biases and norms
  double gradient_scale = 1.0;  ///< the clip coefficient, applied to each gradient as it is read
  std::int64_t step = 1;        ///< counted from 1, for the bias corrections
};

namespace cpu {

/// g = gradient_scale * gradient; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// parameter -= lr * weight_decay * parameter;
/// parameter -= lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
/// All contiguous, one floating dtype, one shape.
void adamw(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
           const AdamWStep& step);

}  // namespace cpu

namespace kernels {
inline constexpr Kernel adamw{"adamw", cpu::adamw};
}  // namespace kernels
}  // namespace shardgrad
