#include "model/transformer_block.h"

namespace shardgrad {

TransformerBlock::TransformerBlock(const GPTConfig& config, std::int64_t layer,
                                   Communicator& tensor_parallel, const ParameterOptions& options)
    : attention_norm_(config.d_model, config.layer_norm_epsilon, options),
      attention_(config, layer, tensor_parallel, options),
      attention_dropout_(config.dropout, "attention_residual", layer),
      feed_forward_norm_(config.d_model, config.layer_norm_epsilon, options),
      feed_forward_(config, tensor_parallel, options),
      feed_forward_dropout_(config.dropout, "feed_forward", layer) {
  register_module("attention_norm", attention_norm_);
  register_module("attention", attention_);
  register_module("feed_forward_norm", feed_forward_norm_);
  register_module("feed_forward", feed_forward_);
}

ResidualStream TransformerBlock::forward(ResidualStream stream, const Tensor& key_padding_mask,
                                         const ForwardContext& context) const {
  const std::int64_t d_model = stream.value.size(1);
  stream.branch = attention_.forward(attention_norm_.forward(stream), key_padding_mask, context);
  stream.mask = attention_dropout_.token_mask(context, d_model);
  stream.branch = feed_forward_.forward(feed_forward_norm_.forward(stream));
  stream.mask = feed_forward_dropout_.token_mask(context, d_model);
  return stream;
}

}  // namespace shardgrad
