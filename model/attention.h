// Multi-head self-attention, its heads split over the ranks.
#pragma once

#include "autograd/functions/attention.h"
#include "model/gpt_config.h"
#include "model/gpt_parallelism.h"
#include "model/key_value_cache.h"
#include "nn/dropout.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/row_parallel_linear.h"

namespace shardgrad {

/// Causal self-attention (Vaswani et al., arXiv:1706.03762): a column-parallel projection to the
/// q, k, v of this rank's heads, attention on those heads alone, and a row-parallel projection
/// back, whose all-reduce is the only communication forward. Between the two each rank has all
/// tokens.
class MultiHeadSelfAttention : public Module {
 public:
  /// `layer` is the block's index: it keys the dropout of the probabilities.
  MultiHeadSelfAttention(const GPTConfig& config, std::int64_t layer, Communicator& tensor_parallel,
                         const GPTParallelism& parallelism, const ParameterOptions& options);

  /// x [B*T, d_model] -> [B*T, d_model], before the residual dropout; both are this rank's rows if
  /// the context's layout is Sliced. key_padding_mask int32 [B, T], 0 hides a token from all
  /// others, or undefined.
  Variable forward(Variable x, const Tensor& key_padding_mask, const ForwardContext& context) const;

  /// The same of the newest tokens [B*Q, d_model] alone, without dropout: their keys and values go
  /// into `cache`, which has those of the tokens before. Nothing is recorded for a backward pass.
  Variable forward_cached(Variable x, CachedLayer cache) const;

 private:
  AttentionShape shape_of(std::int64_t batch, std::int64_t tokens) const;

  std::int64_t n_heads_;
  std::int64_t local_heads_;
  std::int64_t first_head_;
  std::int64_t head_dim_;
  ColumnParallelLinear query_key_value_;
  RowParallelLinear projection_;
  Dropout dropout_;
};

}  // namespace shardgrad
