#include "parallel/vocab_parallel.h"

#include "autograd/functions/embedding.h"
#include "nn/embedding.h"
#include "parallel/regions.h"
#include "parallel/sharding.h"

namespace shardgrad {

VocabParallelEmbedding::VocabParallelEmbedding(std::int64_t vocab_size, std::int64_t d_model,
                                               Communicator& tensor_parallel,
                                               double standard_deviation,
                                               const ParameterOptions& options)
    : tensor_parallel_(tensor_parallel) {
  require(vocab_size > 0 && d_model > 0, "VocabParallelEmbedding",
          "vocab_size {} and d_model {} must be positive", vocab_size, d_model);
  weight_ =
      register_parameter("weight", vocabulary_sharded_over(tensor_parallel, {vocab_size, d_model}),
                         Initializer::normal(standard_deviation), options);
}

Variable VocabParallelEmbedding::forward(const Tensor& ids, TokenLayout layout) const {
  const std::int64_t vocab_size = weight_->shard.global_shape[0];
  check_ids(ids, vocab_size, "VocabParallelEmbedding");
  Variable rows = embedding(ids, weight_->variable, weight_->shard.first_index());
  return layout == TokenLayout::Sliced
             ? reduce_scatter_to_sequence_parallel(std::move(rows), tensor_parallel_)
             : reduce_from_tensor_parallel(std::move(rows), tensor_parallel_);
}

VocabularySlice vocabulary_slice(std::int64_t vocab_size, const Communicator& tensor_parallel) {
  const ShardSpec columns = vocabulary_sharded_over(tensor_parallel, {vocab_size});
  return {columns.first_index(), columns.real_extent()};
}

Variable vocab_parallel_cross_entropy(Variable logits, const Tensor& labels,
                                      std::int64_t vocab_size, Communicator& tensor_parallel,
                                      const CrossEntropyOptions& options) {
  VocabularyReductions reductions;
  if (tensor_parallel.world_size() > 1) {
    reductions.max = [&](Tensor& x) { tensor_parallel.all_reduce(x, ReduceOp::Max); };
    reductions.sum = [&](Tensor& x) { tensor_parallel.all_reduce(x); };
  }
  return cross_entropy(std::move(logits), labels, vocab_size,
                       vocabulary_slice(vocab_size, tensor_parallel), reductions, options);
}

}  // namespace shardgrad
