// One block of the stack.
#pragma once

#include "model/attention.h"
#include "model/feed_forward.h"
#include "nn/layer_norm.h"

namespace shardgrad {

/// x = x + dropout(attention(LN(x))); x = x + FeedForward(LN(x)): pre-LN (Xiong et al.,
/// arXiv:2002.04745).
class TransformerBlock : public Module {
 public:
  TransformerBlock(const GPTConfig& config, std::int64_t layer, Communicator& tensor_parallel,
                   const ParameterOptions& options);

  /// x [B*T, d_model] -> [B*T, d_model]; key_padding_mask int32 [B, T] or undefined.
  Variable forward(const Variable& x, const Tensor& key_padding_mask,
                   const ForwardContext& context) const;

 private:
  LayerNorm attention_norm_;
  MultiHeadSelfAttention attention_;
  Dropout attention_dropout_;
  LayerNorm feed_forward_norm_;
  FeedForward feed_forward_;
};

}  // namespace shardgrad
