#include "model/feed_forward.h"

#include <cmath>

namespace shardgrad {

FeedForward::FeedForward(const GPTConfig& config, Communicator& tensor_parallel,
                         const GPTParallelism& parallelism, const ParameterOptions& options)
    : gelu_(config.gelu),
      expansion_(config.d_model, config.d_ff, /*bias=*/true, /*gather_output=*/false,
                 tensor_parallel,
                 {options, config.initializer_range, /*segments=*/1, parallelism.sequence_parallel,
                  parallelism.overlap}),
      projection_(config.d_ff, config.d_model, /*bias=*/true, /*input_is_parallel=*/true,
                  tensor_parallel,
                  {options, config.initializer_range / std::sqrt(2.0 * config.n_layers),
                   /*segments=*/1, parallelism.sequence_parallel}) {
  register_module("expansion", expansion_);
  register_module("projection", projection_);
}

Variable FeedForward::forward(Variable x, TokenLayout layout) const {
  return projection_.forward(expansion_.forward_gelu(std::move(x), gelu_, layout), layout);
}

}  // namespace shardgrad
