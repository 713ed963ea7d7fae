// One block of the stack.
#pragma once

#include "model/attention.h"
#include "model/feed_forward.h"
#include "nn/layer_norm.h"

namespace shardgrad {

/// x = x + dropout(attention(LN(x))); x = x + dropout(FeedForward(LN(x))): pre-LN (Xiong et al.,
/// arXiv:2002.04745). Each sum is formed together with the norm that follows it, the second one by
/// the next block.
class TransformerBlock : public Module {
 public:
  TransformerBlock(const GPTConfig& config, std::int64_t layer, Communicator& tensor_parallel,
                   const GPTParallelism& parallelism, const ParameterOptions& options);

  /// The stream after this block, its second branch pending. key_padding_mask int32 [B, T] on the
  /// stream's device, or undefined. With Recompute::Block the graph keeps no more of it than its
  /// stream, and the block must outlive the graph.
  ResidualStream forward(ResidualStream stream, const Tensor& key_padding_mask,
                         const ForwardContext& context) const;

  /// The same of the newest tokens alone; see MultiHeadSelfAttention::forward_cached().
  ResidualStream forward_cached(ResidualStream stream, const CachedLayer& cache,
                                const ForwardContext& context) const;

 private:
  ResidualStream compute(ResidualStream stream, const Tensor& key_padding_mask,
                         const ForwardContext& context) const;
  // What comes after the attention, whose output is the stream's branch.
  ResidualStream add_feed_forward(ResidualStream stream, const ForwardContext& context) const;

  Recompute recompute_;
  LayerNorm attention_norm_;
  MultiHeadSelfAttention attention_;
  Dropout attention_dropout_;
  LayerNorm feed_forward_norm_;
  FeedForward feed_forward_;
  Dropout feed_forward_dropout_;
};

}  // namespace shardgrad
