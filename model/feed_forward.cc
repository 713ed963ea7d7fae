#include "model/feed_forward.h"

#include <cmath>

#include "autograd/functions/gelu.h"

namespace shardgrad {

FeedForward::FeedForward(const GPTConfig& config, std::int64_t layer, Communicator& tensor_parallel,
                         const ParameterOptions& options)
    : gelu_(config.gelu),
      expansion_(config.d_model, config.d_ff, /*bias=*/true, /*gather_output=*/false,
                 tensor_parallel, {options, config.initializer_range}),
      projection_(config.d_ff, config.d_model, /*bias=*/true, /*input_is_parallel=*/true,
                  tensor_parallel,
                  {options, config.initializer_range / std::sqrt(2.0 * config.n_layers)}),
      dropout_(config.dropout, "feed_forward", layer) {
  register_module("expansion", expansion_);
  register_module("projection", projection_);
}

Variable FeedForward::forward(Variable x, const Variable& residual,
                              const ForwardContext& context) const {
  Variable y = projection_.forward(gelu(expansion_.forward(std::move(x)), gelu_));
  return dropout_.forward_add(std::move(y), residual, context);
}

}  // namespace shardgrad
