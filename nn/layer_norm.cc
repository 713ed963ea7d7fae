#include "nn/layer_norm.h"

#include "autograd/functions/layer_norm.h"

namespace shardgrad {

LayerNorm::LayerNorm(std::int64_t features, double epsilon, const ParameterOptions& options)
    : epsilon_(epsilon) {
  require(features > 0, "LayerNorm", "features {} must be positive", features);
  const ShardSpec shard = ShardSpec::replicated({features});
  weight_ = register_parameter("weight", shard, Initializer::ones(), options);
  bias_ = register_parameter("bias", shard, Initializer::zeros(), options);
}

Variable LayerNorm::forward(const Variable& x) const {
  return layer_norm(x, weight_->variable, bias_->variable, epsilon_);
}

Variable LayerNorm::forward(ResidualStream& stream) const {
  if (!stream.branch.defined()) return forward(stream.value);
  ResidualLayerNorm result =
      residual_layer_norm(std::move(stream.branch), stream.value, stream.mask, weight_->variable,
                          bias_->variable, epsilon_);
  stream = {std::move(result.sum), Variable(), {}};
  return std::move(result.normalized);
}

}  // namespace shardgrad
