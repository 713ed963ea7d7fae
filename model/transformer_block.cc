#include "model/transformer_block.h"

namespace shardgrad {

TransformerBlock::TransformerBlock(const GPTConfig& config, std::int64_t layer,
                                   Communicator& tensor_parallel, const ParameterOptions& options)
    : attention_norm_(config.d_model, config.layer_norm_epsilon, options),
      attention_(config, layer, tensor_parallel, options),
      attention_dropout_(config.dropout, "attention_residual", layer),
      feed_forward_norm_(config.d_model, config.layer_norm_epsilon, options),
      feed_forward_(config, layer, tensor_parallel, options) {
  register_module("attention_norm", attention_norm_);
  register_module("attention", attention_);
  register_module("feed_forward_norm", feed_forward_norm_);
  register_module("feed_forward", feed_forward_);
}

Variable TransformerBlock::forward(const Variable& x, const Tensor& key_padding_mask,
                                   const ForwardContext& context) const {
  Variable attended = attention_.forward(attention_norm_.forward(x), key_padding_mask, context);
  const Variable middle = attention_dropout_.forward_add(std::move(attended), x, context);
  return feed_forward_.forward(feed_forward_norm_.forward(middle), middle, context);
}

}  // namespace shardgrad
