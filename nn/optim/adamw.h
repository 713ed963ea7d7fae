// The AdamW optimizer.
#pragma once

#include "nn/optim/flat_parameters.h"

namespace shardgrad {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  ///< of matrices; vectors (biases, norms) do not decay
};

/// Adam with decoupled weight decay over flat parameters, one pass per step.
/// Source: Loshchilov, Hutter, arXiv:1711.05101. On a shard it does exactly what it does on those
/// elements of the whole tensor.
class AdamW {
 public:
  /// `parameters` must outlive the optimizer.
  explicit AdamW(FlatParameters& parameters, const AdamWOptions& options = {});

  /// Updates the parameters from their gradients, each times `gradient_scale` (the clip
  /// coefficient).
  void step(double learning_rate, double gradient_scale = 1.0);

  /// Steps taken.
  std::int64_t steps() const { return steps_; }

 private:
  FlatParameters& parameters_;
  AdamWOptions options_;
  Tensor first_moment_;
  Tensor second_moment_;
  std::int64_t steps_ = 0;
};

/// What to scale gradients of global norm `norm` with so that it does not exceed `max_norm`;
/// 1 when max_norm is 0 (no clipping). Source: Pascanu et al., arXiv:1211.5063.
inline double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0.0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace shardgrad
