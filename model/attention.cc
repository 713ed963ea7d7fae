#include "model/attention.h"

#include <cmath>

#include "parallel/sharding.h"
#include "tensor/kernels/cached_attention.h"

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
  AttentionShape shape = shape_of(qkv.size(0) / context.tokens, context.tokens);
  shape.first_sequence = context.first_sequence;
  return projection_.forward(
      causal_attention(qkv, key_padding_mask, shape, dropout_.mask(context, 0)), context.layout);
}

Variable MultiHeadSelfAttention::forward_cached(Variable x, CachedLayer cache) const {
  const Variable qkv = query_key_value_.forward(std::move(x));
  const std::int64_t batch = cache.keys_values.size(0), capacity = cache.keys_values.size(1);
  const std::int64_t queries = qkv.size(0) / batch, width = local_heads_ * head_dim_;
  cache.append(qkv.value().slice(1, width, 2 * width));
  // The kernel for whole sequences makes more of many tokens than the one for a cache.
  if (cache.length == 0) {
    return projection_.forward(
        causal_attention(qkv, Tensor(), shape_of(batch, queries), DropoutMask()));
  }
  Tensor out = Tensor::empty({batch * queries, width}, qkv.value().dtype(), qkv.value().device());
  kernels::cached_attention(
      qkv.value(), cache.keys_values,
      {batch, queries, cache.length + queries, capacity, local_heads_, head_dim_}, out);
  return projection_.forward(Variable(std::move(out)));
}

AttentionShape MultiHeadSelfAttention::shape_of(std::int64_t batch, std::int64_t tokens) const {
  AttentionShape shape;
  shape.batch = batch;
  shape.tokens = tokens;
  shape.heads = local_heads_;
  shape.head_dim = head_dim_;
  shape.first_head = first_head_;
  shape.all_heads = n_heads_;
  return shape;
}

}  // namespace shardgrad
