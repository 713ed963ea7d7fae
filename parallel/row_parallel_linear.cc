#include "parallel/row_parallel_linear.h"

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/linear.h"
#include "parallel/regions.h"
#include "parallel/sharding.h"

namespace shardgrad {

RowParallelLinear::RowParallelLinear(std::int64_t in_features, std::int64_t out_features, bool bias,
                                     bool input_is_parallel, Communicator& tensor_parallel,
                                     const ParallelLinearOptions& options)
    : tensor_parallel_(tensor_parallel), input_is_parallel_(input_is_parallel) {
  constexpr const char* kName = "RowParallelLinear";
  divided(in_features, tensor_parallel.world_size(), kName, "in_features");
  require(out_features > 0, kName, "out_features is {}; expected at least 1", out_features);
  require(options.segments == 1, kName, "segments is {}; expected 1", options.segments);
  weight_ =
      register_parameter("weight", sharded_over(tensor_parallel, {out_features, in_features}, 1),
                         options.weight_initializer(in_features), options.parameters);
  if (bias) {
    ParameterOptions bias_options = options.parameters;
    bias_options.partial_gradient = options.sequence_parallel;
    bias_ = register_parameter("bias", ShardSpec::replicated({out_features}), Initializer::zeros(),
                               bias_options);
  }
}

Variable RowParallelLinear::forward(Variable x, TokenLayout layout) const {
  const bool sliced = layout == TokenLayout::Sliced;
  require(!bias_ || !is_recording() || bias_->partial_gradient == sliced, "RowParallelLinear",
          "the layer was made {} sequence parallelism, and trains on tokens that are {}; expected "
          "the same of both",
          bias_ && bias_->partial_gradient ? "for" : "without", sliced ? "sliced" : "not sliced");
  if (!input_is_parallel_) x = scatter_to_tensor_parallel(std::move(x), tensor_parallel_);
  Variable y = linear(x, weight_->variable);
  y = sliced ? reduce_scatter_to_sequence_parallel(std::move(y), tensor_parallel_)
             : reduce_from_tensor_parallel(std::move(y), tensor_parallel_);
  return bias_ ? add_bias(std::move(y), bias_->variable) : y;
}

}  // namespace shardgrad
