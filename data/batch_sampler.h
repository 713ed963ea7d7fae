// Which tokens each training step and each evaluation sees.
#pragma once

#include <cstdint>

#include "data/token_dataset.h"
#include "tensor/tensor.h"

namespace shardgrad {

/// Sequences of token ids and, for each position, the id to predict there. Both are int32
/// [sequences, seq_len] on the host; targets[b, t] is the token that follows input_ids[b, t].
struct Batch {
  Tensor input_ids;
  Tensor targets;
};

/// Cuts windows of seq_len + 1 tokens out of a dataset. A window is named by its index in the
/// global batch, and where it starts is a pure function of that index: each rank draws its own
/// slice, at any data-parallel layout and any gradient accumulation, and a resumed run needs no
/// saved state.
class BatchSampler {
 public:
  /// @throws Error when seq_len < 1, or the dataset is too short for a single window.
  BatchSampler(TokenDataset dataset, std::int64_t seq_len, std::uint64_t seed);

  std::int64_t seq_len() const { return seq_len_; }

  /// Sequences [first_sequence, first_sequence + count) of the global batch of `step`. Each starts
  /// at a position drawn uniformly, as a function of (seed, step, index of the sequence) alone.
  /// @throws Error when step or first_sequence is negative, or count < 1.
  Batch training_batch(std::int64_t step, std::int64_t first_sequence, std::int64_t count) const;

  /// Sequences [first_sequence, first_sequence + count) of `total` windows spread evenly from the
  /// first token to the last, the same at each call. They overlap when the dataset is shorter than
  /// `total` windows. @throws Error unless the sequences lie in [0, total) and count >= 1.
  Batch evaluation_batch(std::int64_t first_sequence, std::int64_t count, std::int64_t total) const;

 private:
  /// How many positions a window can start at: 0 .. window_starts() - 1.
  std::int64_t window_starts() const { return dataset_.size() - seq_len_; }

  /// A batch whose sequence i starts at position start_of(i), for `count` sequences from
  /// `first_sequence` on.
  template <class StartOf>
  Batch gather(std::int64_t first_sequence, std::int64_t count, const StartOf& start_of) const;

  TokenDataset dataset_;
  std::int64_t seq_len_;
  std::uint64_t seed_;
};

}  // namespace shardgrad
