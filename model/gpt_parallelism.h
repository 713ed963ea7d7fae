// GPTParallelism: how a model computes what its GPTConfig says.
#pragma once

#include "nn/parameter.h"
#include "parallel/communication_queue.h"

namespace shardgrad {

/// What the backward pass computes again instead of keeping.
enum class Recompute {
  None,
  Block,  ///< each transformer block, from its inputs
};

/// Choices that change memory and speed, not the numbers: the loss, the gradients (of
/// sequence_parallel up to the order of sums; of the others bit for bit) and the dropout masks stay
/// those of a model without.
struct GPTParallelism {
  /// Each tensor-parallel rank holds 1/tp of the residual stream's tokens, with its dropout and
  /// layer norms (Korthikanti et al., arXiv:2205.05198).
  bool sequence_parallel = false;
  Recompute recompute = Recompute::None;
  /// A queue on the tensor-parallel group, which must outlive the model and its graphs: collectives
  /// of the column-parallel layers' backward passes run beside the matrix products. Null: they do
  /// not.
  CommunicationQueue* overlap = nullptr;
};

/// `options` for the parameters of what is applied to a rank's own tokens.
inline ParameterOptions on_tokens(ParameterOptions options, const GPTParallelism& parallelism) {
  options.partial_gradient = parallelism.sequence_parallel;
  return options;
}

}  // namespace shardgrad
