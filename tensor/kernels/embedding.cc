#include "tensor/kernels/embedding.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {

void embedding_forward(const Tensor& ids, const Tensor& table, std::int64_t, Tensor& out) {
  require_operand("embedding_forward", "ids", ids, {ids.numel()}, DType::Int32);
  require_leading_matrix("embedding_forward", "table", table);
  require_operand("embedding_forward", "out", out, {ids.numel(), table.size(1)}, table.dtype());
  require_floating("embedding_forward", table.dtype());
}

void embedding_backward(const Tensor& ids, const Tensor& dy, std::int64_t, Tensor& dtable) {
  require_operand("embedding_backward", "ids", ids, {ids.numel()}, DType::Int32);
  require_leading_matrix("embedding_backward", "dtable", dtable);
  const bool fits = dtable.dtype() == sum_dtype(dtable, dy.dtype());
  require_operand("embedding_backward", "dy", dy, {ids.numel(), dtable.size(1)},
                  fits ? dy.dtype() : dtable.dtype());
  require_floating("embedding_backward", dtable.dtype());
}

}  // namespace shardgrad::checks
