// The memory of a training run, by what it is for.
#pragma once

#include "training/expected_traffic.h"
#include "training/gpt_training.h"

namespace shardgrad {

/// Bytes of one rank.
struct TrainingMemory {
  // From the first step to the last.
  std::int64_t weights = 0;
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;  ///< moments, and of bf16 models the fp32 masters
  // Within a step.
  std::int64_t activations = 0;  ///< what the blocks keep of their forward pass for the backward
  std::int64_t workspace = 0;    ///< what there is beside them when the step needs most

  std::int64_t held() const { return weights + gradients + optimizer; }
  std::int64_t total() const { return held() + activations + workspace; }
};

/// The bytes of the tensors of `training`, of this rank; and what a step on `batch` takes beside
/// them, which is estimated from the shapes: see estimated_step_memory().
TrainingMemory training_memory(GPTTraining& training, const TrainingLayout& layout,
                               const BatchShape& batch);

/// The activations and the workspace of a step, nothing else. The activations are counted as
/// Korthikanti et al. do (arXiv:2205.05198, section 4), for what is kept here: attention keeps no
/// T x T matrices, a GELU its input alone, dropout nothing. The workspace is what the larger of two
/// moments needs: the backward pass of the head, with the logits' gradient in place of the logits,
/// or that of a block. What the allocator adds by rounding, up to an eighth of a tensor, and
/// the scratch memory of matrix products are not counted.
TrainingMemory estimated_step_memory(const GPTConfig& config, const TrainingLayout& layout,
                                     const BatchShape& batch, DType dtype);

}  // namespace shardgrad
