#include "autograd/functions/attention.h"

namespace shardgrad {

Variable causal_attention(const Variable& qkv, const Tensor& key_padding_mask,
                          const AttentionShape& shape, const DropoutMask& dropout) {
  const Tensor& input = qkv.value();
  Tensor out = Tensor::empty({shape.batch * shape.tokens, shape.heads * shape.head_dim},
                             input.dtype(), input.device());
  Tensor log_sum_exp = Tensor::empty({shape.batch, shape.heads, shape.tokens},
                                     accumulation_dtype(input.dtype()), input.device());
  kernels::attention_forward(input, key_padding_mask, shape, dropout, out, log_sum_exp);
  return record(
      "causal_attention", {qkv}, out,
      [qkv = input, key_padding_mask, shape, dropout, out, log_sum_exp](Gradients& gradients) {
        Tensor dqkv = Tensor::empty_like(qkv);
        kernels::attention_backward(qkv, key_padding_mask, out, log_sum_exp, gradients.output(),
                                    shape, dropout, dqkv);
        gradients.add(0, std::move(dqkv));
      });
}

}  // namespace shardgrad
