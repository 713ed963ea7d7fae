#include "tensor/kernels/cached_attention.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {

void cached_attention(const Tensor& qkv, const Tensor& cache, const CachedAttentionShape& shape,
                      Tensor& out) {
  constexpr const char* kName = "cached_attention";
  require(shape.queries >= 0 && shape.queries <= shape.length && shape.length <= shape.capacity,
          kName,
          "{} queries of {} tokens in a cache for {}; expected queries <= tokens <= capacity",
          shape.queries, shape.length, shape.capacity);
  const std::int64_t rows = shape.batch * shape.queries;
  const std::int64_t width = shape.heads * shape.head_dim;
  require_operand(kName, "qkv", qkv, {rows, 3 * width}, qkv.dtype());
  require_operand(kName, "cache", cache, {shape.batch, shape.capacity, 2 * width}, qkv.dtype());
  require_operand(kName, "out", out, {rows, width}, qkv.dtype());
  require_floating(kName, qkv.dtype());
}

}  // namespace shardgrad::checks
