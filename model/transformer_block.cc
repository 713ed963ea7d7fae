#include "model/transformer_block.h"

#include "autograd/functions/recompute.h"

namespace shardgrad {

TransformerBlock::TransformerBlock(const GPTConfig& config, std::int64_t layer,
                                   Communicator& tensor_parallel, const GPTParallelism& parallelism,
                                   const ParameterOptions& options)
    : recompute_(parallelism.recompute),
      attention_norm_(config.d_model, config.layer_norm_epsilon, on_tokens(options, parallelism)),
      attention_(config, layer, tensor_parallel, parallelism, options),
      attention_dropout_(config.dropout, "attention_residual", layer),
      feed_forward_norm_(config.d_model, config.layer_norm_epsilon,
                         on_tokens(options, parallelism)),
      feed_forward_(config, tensor_parallel, parallelism, options),
      feed_forward_dropout_(config.dropout, "feed_forward", layer) {
  register_module("attention_norm", attention_norm_);
  register_module("attention", attention_);
  register_module("feed_forward_norm", feed_forward_norm_);
  register_module("feed_forward", feed_forward_);
}

ResidualStream TransformerBlock::forward(ResidualStream stream, const Tensor& key_padding_mask,
                                         const ForwardContext& context) const {
  if (recompute_ == Recompute::None) return compute(std::move(stream), key_padding_mask, context);
  std::vector<Variable> inputs{std::move(stream.value)}, parameters;
  if (stream.branch.defined()) inputs.push_back(std::move(stream.branch));
  for (const auto& [name, parameter] : named_parameters()) {
    parameters.push_back(parameter->variable);
  }
  DropoutMask mask = stream.mask;  // the variables come and go, it is always the same
  std::vector<Variable> results = recompute(
      [this, mask, key_padding_mask, context](std::vector<Variable> given) {
        ResidualStream inner{std::move(given[0]), Variable(), mask};
        if (given.size() > 1) inner.branch = std::move(given[1]);
        inner = compute(std::move(inner), key_padding_mask, context);
        return std::vector<Variable>{std::move(inner.value), std::move(inner.branch)};
      },
      std::move(inputs), parameters);
  mask = feed_forward_dropout_.token_mask(context, results[0].size(1));
  return {std::move(results[0]), std::move(results[1]), mask};
}

ResidualStream TransformerBlock::compute(ResidualStream stream, const Tensor& key_padding_mask,
                                         const ForwardContext& context) const {
  stream.branch = attention_.forward(attention_norm_.forward(stream), key_padding_mask, context);
  return add_feed_forward(std::move(stream), context);
}

ResidualStream TransformerBlock::forward_cached(ResidualStream stream, const CachedLayer& cache,
                                                const ForwardContext& context) const {
  stream.branch = attention_.forward_cached(attention_norm_.forward(stream), cache);
  return add_feed_forward(std::move(stream), context);
}

ResidualStream TransformerBlock::add_feed_forward(ResidualStream stream,
                                                  const ForwardContext& context) const {
  const std::int64_t d_model = stream.value.size(1);
  stream.mask = attention_dropout_.token_mask(context, d_model);
  stream.branch = feed_forward_.forward(feed_forward_norm_.forward(stream), context.layout);
  stream.mask = feed_forward_dropout_.token_mask(context, d_model);
  return stream;
}

}  // namespace shardgrad
