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

/// Cuts windows of seq_len + 1 tokens out of a dataset, the last of one being the first of the
/// next.
///
/// A run draws sequences 0, 1, 2, ...; with B of them a step, step s sees [s B, (s + 1) B). An
/// epoch is as many as fit into the dataset side by side: each of its tokens is a target once, in a
/// shuffled order of windows. What does not fill a window, less than seq_len tokens, is left out at
/// the beginning and the end, how much of it where differs from epoch to epoch.
///
/// Sequence i is a pure function of (dataset, seq_len, seed, i). So each rank draws its own slice
/// of a batch, at any data-parallel layout and any gradient accumulation; and the position in the
/// data, which a checkpoint has to hold, is the number of sequences drawn: step x batch size.
class BatchSampler {
 public:
  /// @throws Error when seq_len < 1, or the dataset is too short for a single window.
  BatchSampler(TokenDataset dataset, std::int64_t seq_len, std::uint64_t seed);

  std::int64_t seq_len() const { return seq_len_; }

  /// Sequences of an epoch.
  std::int64_t epoch_sequences() const { return (dataset_.size() - 1) / seq_len_; }

  /// Sequences [first_sequence, first_sequence + count) of a run, counted from its beginning.
  /// @throws Error when first_sequence is negative, count < 1, or a token of the dataset is outside
  /// the vocabulary.
  Batch training_batch(std::int64_t first_sequence, std::int64_t count) const;

  /// Sequences [first_sequence, first_sequence + count) of `total` windows spread evenly from the
  /// first token to the last, the same at each call. They overlap when the dataset is shorter than
  /// `total` windows. @throws Error unless the sequences lie in [0, total) and count >= 1, or when
  /// a token is outside the vocabulary.
  Batch evaluation_batch(std::int64_t first_sequence, std::int64_t count, std::int64_t total) const;

 private:
  /// Where the window of a training sequence starts.
  std::int64_t training_start(std::int64_t sequence) const;

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
