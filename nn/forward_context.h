// ForwardContext: what a forward pass is part of.
#pragma once

#include <cstdint>

namespace shardgrad {

/// Passed down the layers of a model. It is all that dropout needs to draw a mask that does not
/// depend on the layout: elements are counted over the whole batch of the step, so a micro-batch or
/// a data-parallel rank that begins with sequence `first_sequence` draws its slice of one mask.
struct ForwardContext {
  bool training = false;            ///< false: dropout keeps everything
  std::uint64_t seed = 0;           ///< of the run
  std::int64_t step = 0;            ///< of the optimizer; each step draws other masks
  std::int64_t first_sequence = 0;  ///< index of the first sequence within the step's batch
  std::int64_t tokens = 1;          ///< T, tokens of a sequence; the model sets it

  /// Index of the first row of a token matrix [B*T, D] within the step's batch.
  std::int64_t first_row() const { return first_sequence * tokens; }
};

}  // namespace shardgrad
