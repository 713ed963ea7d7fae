#include "nn/linear.h"

#include "autograd/functions/linear.h"

namespace shardgrad {

Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool bias,
               const ParameterOptions& options) {
  require(in_features > 0 && out_features > 0, "Linear",
          "in_features {} and out_features {} must be positive", in_features, out_features);
  weight_ = register_parameter("weight", ShardSpec::replicated({out_features, in_features}),
                               Initializer::fan_in(in_features), options);
  if (bias) {
    bias_ = register_parameter("bias", ShardSpec::replicated({out_features}), Initializer::zeros(),
                               options);
  }
}

Variable Linear::forward(const Variable& x) const {
  return linear(x, weight_->variable, bias_ ? bias_->variable : Variable());
}

}  // namespace shardgrad
