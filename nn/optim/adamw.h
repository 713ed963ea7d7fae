// The AdamW optimizer.
#pragma once

#include "nn/optim/flat_parameters.h"

namespace shardgrad {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;       ///< of matrices; vectors (biases, norms) do not decay
  double max_gradient_norm = 0.0;  ///< gradients are clipped to this global norm; 0: not clipped
};

/// Adam with decoupled weight decay over flat parameters, one pass per step.
/// Source: Loshchilov, Hutter, arXiv:1711.05101. On a shard it does exactly what it does on those
/// elements of the whole tensor.
///
/// Moments are in the accumulation dtype. Of bf16 parameters it also keeps the fp32 master weights
/// that the updates add up in (Micikevicius et al., arXiv:1710.03740), which start as the
/// parameters' values at the first step; the parameters are the masters, rounded.
class AdamW {
 public:
  /// `parameters` must outlive the optimizer. `owned`: the optimizer updates these elements of the
  /// flat buffers alone, and keeps state of no others; by default of all.
  explicit AdamW(FlatParameters& parameters, const AdamWOptions& options = {});
  AdamW(FlatParameters& parameters, const AdamWOptions& options, std::vector<FlatRange> owned);

  /// Updates the parameters from their gradients. `gradient_norm` (see parallel's gradient_norm())
  /// is one float64 element, by which they are clipped; undefined: not clipped. A step whose norm
  /// is not finite changes nothing; see take_back_step().
  void step(double learning_rate, const Tensor& gradient_norm = {});

  /// Uncounts the last step, whose gradient norm turned out not to be finite.
  void take_back_step() { --steps_; }

  /// Steps taken.
  std::int64_t steps() const { return steps_; }

  /// Elements of each of its moments: those of the ranges that it owns.
  std::int64_t state_numel() const { return first_moment_.numel(); }

  /// Bytes of its moments and masters; those of the masters also before the first step.
  std::int64_t state_bytes() const {
    const auto element = static_cast<std::int64_t>(size_of(first_moment_.dtype()));
    return (has_master() ? 3 : 2) * state_numel() * element;
  }

  /// What it keeps from one step to the next, for those who store it and bring it back: tensors
  /// [state_numel()], of the owned ranges, one behind the other.
  const std::vector<FlatRange>& owned() const { return owned_; }
  Tensor& first_moment() { return first_moment_; }
  Tensor& second_moment() { return second_moment_; }
  bool has_master() const { return parameters_.values().dtype() != first_moment_.dtype(); }
  /// Made from the parameters if no step was taken yet. @throws Error unless has_master().
  Tensor& master();
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  FlatParameters& parameters_;
  AdamWOptions options_;
  std::vector<FlatRange> owned_;
  // Of the owned ranges, one behind the other.
  Tensor master_;  // of bf16 parameters, from the first step on
  Tensor first_moment_;
  Tensor second_moment_;
  std::int64_t steps_ = 0;
};

}  // namespace shardgrad
