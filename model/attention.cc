#include "model/attention.h"

#include <cmath>

#include "autograd/functions/attention.h"
#include "parallel/sharding.h"

namespace shardgrad {

MultiHeadSelfAttention::MultiHeadSelfAttention(const GPTConfig& config, std::int64_t layer,
                                               Communicator& tensor_parallel,
                                               const GPTParallelism& parallelism,
                                               const ParameterOptions& options)
    : n_heads_(config.n_heads),
      local_heads_(divided(config.n_heads, tensor_parallel.world_size(), "MultiHeadSelfAttention",
                           "n_heads")),
      first_head_(tensor_parallel.rank() * local_heads_),
      head_dim_(config.d_model / config.n_heads),
      query_key_value_(config.d_model, 3 * config.d_model, /*bias=*/true, /*gather_output=*/false,
                       tensor_parallel,
                       {options, config.initializer_range, /*segments=*/3,
                        parallelism.sequence_parallel, parallelism.overlap}),
      projection_(config.d_model, config.d_model, /*bias=*/true, /*input_is_parallel=*/true,
                  tensor_parallel,
                  {options, config.initializer_range / std::sqrt(2.0 * config.n_layers),
                   /*segments=*/1, parallelism.sequence_parallel}),
      dropout_(config.dropout, "attention", layer) {
  register_module("query_key_value", query_key_value_);
  register_module("projection", projection_);
}

Variable MultiHeadSelfAttention::forward(Variable x, const Tensor& key_padding_mask,
                                         const ForwardContext& context) const {
  const Variable qkv = query_key_value_.forward(std::move(x), context.layout);
  AttentionShape shape;
  shape.batch = qkv.size(0) / context.tokens;
  shape.tokens = context.tokens;
  shape.heads = local_heads_;
  shape.head_dim = head_dim_;
  shape.first_head = first_head_;
  shape.all_heads = n_heads_;
  shape.first_sequence = context.first_sequence;
  return projection_.forward(
      causal_attention(qkv, key_padding_mask, shape, dropout_.mask(context, 0)), context.layout);
}

}  // namespace shardgrad
