// Softmax cross-entropy, over a whole vocabulary or a shard of it.
#pragma once

#include <functional>

#include "autograd/variable.h"
#include "tensor/kernels/cross_entropy.h"

namespace shardgrad {

/// In-place reductions over the ranks that hold the other columns of the vocabulary. Empty
/// functions: this rank holds them all.
struct VocabularyReductions {
  std::function<void(Tensor&)> max;
  std::function<void(Tensor&)> sum;
};

struct CrossEntropyOptions {
  /// Rows with this label count for nothing.
  std::int64_t ignore_index = -100;
  /// The summed loss is divided by this; 0 divides by the number of rows that count. A step that
  /// accumulates several micro-batches passes the count of all of them, so that their losses and
  /// gradients add up to those of the whole batch.
  double normalizer = 0.0;
  /// In [0, 1): this share of the target's probability is spread evenly over the vocabulary.
  double label_smoothing = 0.0;
};

/// Mean over the rows that count of -sum over v of target[v] log softmax(logits)[v], where the
/// target is 1 at the label, or with smoothing e over V columns (1 - e) at the label plus e / V
/// everywhere: one float64 element of shape [1]; 0 when no row counts. logits [M, V] (or a slice of
/// the columns) on any device; labels int32 [M] on the host, where they are checked before a copy
/// goes to the device of the logits. The softmax is never stored: the backward pass writes the
/// logits' gradient over the logits when nobody else holds them (they were moved in and no handle
/// is left), else into fresh memory.
/// @throws Error for a label outside the vocabulary that is not ignore_index, labels on a GPU, or a
/// label_smoothing out of range.
Variable cross_entropy(Variable logits, const Tensor& labels,
                       const CrossEntropyOptions& options = {});

/// The same for one slice of the columns; all ranks of the vocabulary get the same loss.
Variable cross_entropy(Variable logits, const Tensor& labels, std::int64_t vocab_size,
                       const VocabularySlice& slice, const VocabularyReductions& reductions,
                       const CrossEntropyOptions& options);

}  // namespace shardgrad
