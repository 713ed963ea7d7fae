// Embedding and cross-entropy with the vocabulary split over the ranks.
#pragma once

#include "autograd/functions/cross_entropy.h"
#include "nn/forward_context.h"
#include "nn/module.h"
#include "parallel/communicator.h"

namespace shardgrad {

/// A [vocab_size, d_model] table cut by rows. Each rank's part is padded (see
/// vocabulary_sharded_over()): the last ranks hold rows that no id names. Each rank looks up the
/// ids that it holds, the others give zeros, and g sums them; it is a reduce-scatter where the
/// tokens are sliced.
class VocabParallelEmbedding : public Module {
 public:
  /// `tensor_parallel` must outlive the layer and its graphs.
  VocabParallelEmbedding(std::int64_t vocab_size, std::int64_t d_model,
                         Communicator& tensor_parallel, double standard_deviation = 0.02,
                         const ParameterOptions& options = {});

  /// ids int32 [M] on the host -> [M, d_model], replicated, or if `layout` is Sliced this rank's
  /// rows of it. @throws Error for an id outside the vocabulary.
  Variable forward(const Tensor& ids, TokenLayout layout = TokenLayout::Replicated) const;

  /// The table, for an output head that is tied to it.
  const ParameterPointer& weight() const { return weight_; }

 private:
  Communicator& tensor_parallel_;
  ParameterPointer weight_;
};

/// The columns of this rank's logits when `vocab_size` columns are cut as VocabParallelEmbedding
/// cuts its rows.
VocabularySlice vocabulary_slice(std::int64_t vocab_size, const Communicator& tensor_parallel);

/// Mean cross-entropy of logits [M, V / tp], of which each rank holds its columns, padding
/// included; every rank gets the same loss, float64 [1]. The whole row of logits is nowhere: the
/// ranks exchange two numbers a row and a maximum. Padding columns count for nothing. See
/// cross_entropy().
Variable vocab_parallel_cross_entropy(Variable logits, const Tensor& labels,
                                      std::int64_t vocab_size, Communicator& tensor_parallel,
                                      const CrossEntropyOptions& options = {});

}  // namespace shardgrad
