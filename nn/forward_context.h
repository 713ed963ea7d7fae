// ForwardContext: what a forward pass is part of.
#pragma once

#include <cstdint>

namespace shardgrad {

/// Which rows of the token matrices [B*T, ...] between its parallel layers a rank holds.
enum class TokenLayout {
  Replicated,  ///< all
  Sliced,      ///< its slice, [B*T / tp, ...]: sequence parallelism
};

/// Passed down the layers of a model. It is all that dropout needs to draw a mask that does not
/// depend on the layout: elements are counted over the whole batch of the step, so a micro-batch, a
/// data-parallel rank that begins with sequence `first_sequence`, or a rank's slice of the tokens
/// draws its slice of one mask.
struct ForwardContext {
  bool training = false;            ///< false: dropout keeps everything
  std::uint64_t seed = 0;           ///< of the run
  std::int64_t step = 0;            ///< of the optimizer; each step draws other masks
  std::int64_t first_sequence = 0;  ///< index of the first sequence within the step's batch

  // What the model sets.
  std::int64_t tokens = 1;  ///< T, tokens of a sequence
  /// Of a sequence's first token; above 0 the tokens before are in a key-value cache.
  std::int64_t first_position = 0;
  TokenLayout layout = TokenLayout::Replicated;
  std::int64_t first_slice_row = 0;  ///< of [B*T], where this rank's slice begins; 0 if Replicated

  /// Index, within the step's batch, of the first row of a token matrix that this rank holds.
  std::int64_t first_row() const { return first_sequence * tokens + first_slice_row; }
};

}  // namespace shardgrad
