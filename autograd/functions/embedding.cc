#include "autograd/functions/embedding.h"

#include "tensor/kernels/embedding.h"

namespace shardgrad {

Variable embedding(const Tensor& given_ids, const Variable& table, std::int64_t first_row) {
  require(given_ids.rank() == 1 && table.value().rank() == 2, "embedding",
          "ids are {} and the table {}; expected [M] and [R, D]", given_ids.shape().to_string(),
          table.shape().to_string());
  const Tensor& rows = table.value();
  const Tensor ids = given_ids.to(rows.device());
  Tensor out = Tensor::empty({ids.size(0), rows.size(1)}, rows.dtype(), rows.device());
  kernels::embedding_forward(ids, rows, first_row, out);
  return record("embedding", {table}, out, [ids, first_row](Gradients& gradients) {
    auto [dtable, accumulate] = gradients.target(0);
    if (!accumulate) dtable.fill(0.0);
    kernels::embedding_backward(ids, gradients.output(), first_row, dtable);
  });
}

}  // namespace shardgrad
