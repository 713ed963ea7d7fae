#include "parallel/column_parallel_linear.h"

#include "autograd/functions/gelu.h"
#include "autograd/functions/linear.h"
#include "parallel/sharding.h"

namespace shardgrad {

ColumnParallelLinear::ColumnParallelLinear(std::int64_t in_features, std::int64_t out_features,
                                           bool bias, bool gather_output,
                                           Communicator& tensor_parallel,
                                           const ParallelLinearOptions& options)
    : tensor_parallel_(tensor_parallel), overlap_(options.overlap), gather_output_(gather_output) {
  constexpr const char* kName = "ColumnParallelLinear";
  require(in_features > 0, kName, "in_features is {}; expected at least 1", in_features);
  divided(out_features, tensor_parallel.world_size(), kName, "out_features");
  require(!gather_output || options.segments == 1, kName,
          "gather_output with {} segments would interleave them; expected 1 segment",
          options.segments);
  weight_ = register_parameter(
      "weight", sharded_over(tensor_parallel, {out_features, in_features}, 0, options.segments),
      options.weight_initializer(in_features), options.parameters);
  if (bias) {
    bias_ = register_parameter("bias",
                               sharded_over(tensor_parallel, {out_features}, 0, options.segments),
                               Initializer::zeros(), options.parameters);
  }
}

Variable ColumnParallelLinear::forward(Variable x, TokenLayout layout) const {
  Variable y =
      linear(x, weight_->variable, bias_ ? bias_->variable : Variable(), input_region(layout));
  return gather_output_ ? gather_from_tensor_parallel(std::move(y), tensor_parallel_) : y;
}

Variable ColumnParallelLinear::forward_gelu(Variable x, GeluKind kind, TokenLayout layout) const {
  require(!gather_output_, "ColumnParallelLinear",
          "the GELU is applied to this rank's features alone; expected gather_output = false");
  return linear_gelu(x, weight_->variable, bias_ ? bias_->variable : Variable(), kind,
                     input_region(layout));
}

InputRegion ColumnParallelLinear::input_region(TokenLayout layout) const {
  return layout == TokenLayout::Sliced ? gathered_input(tensor_parallel_, overlap_)
                                       : copied_input(tensor_parallel_, overlap_);
}

}  // namespace shardgrad
