// What a training step has to communicate, by the papers.
#pragma once

#include "parallel/communicator.h"
#include "training/training_layout.h"

namespace shardgrad {

/// What the batch of a step is.
struct BatchShape {
  std::int64_t sequences = 1;  ///< over all ranks and micro-batches
  std::int64_t tokens = 1;     ///< of a sequence
  std::int64_t micro_batches = 1;
};

/// Calls and payload bytes of one rank in one step, counted as CommunicationStats counts them.
struct ExpectedTraffic {
  CommunicationStats tensor_parallel;
  CommunicationStats data_parallel;
};

/// Tensor parallelism: two all-reduces of the activations in each layer forward and two backward,
/// one behind the embedding and one below the head (Shoeybi et al., arXiv:1909.08053, section 3);
/// with sequence parallelism each is a reduce-scatter and an all-gather, and each of the
/// column-parallel layers gathers its input once more for its weight's gradient (Korthikanti et
/// al., arXiv:2205.05198, section 4.2.2), and partial gradients are summed. Recomputed blocks
/// repeat their forward pass. The loss exchanges a maximum and two sums a row.
///
/// Data parallelism: an all-reduce of the gradients, or with ZeRO stage 1 a reduce-scatter of the
/// gradients and an all-gather of the parameters (Rajbhandari et al., arXiv:1910.02054, section 7).
///
/// Derived from the shapes alone, padding of the flat buffers not counted: that adds some
/// thousandths to the bytes of data parallelism, and may add a bucket.
ExpectedTraffic expected_traffic(const GPTConfig& config, const TrainingLayout& layout,
                                 const BatchShape& batch, DType dtype);

}  // namespace shardgrad
