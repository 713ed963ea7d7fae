#include "tensor/kernels/attention.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {
namespace {

// The tensors that both passes take.
void check_attention(const char* where, const Tensor& qkv, const Tensor& key_padding_mask,
                     const AttentionShape& shape, const DropoutMask& dropout, const Tensor& out,
                     const Tensor& log_sum_exp) {
  require(shape.first_head >= 0 && shape.first_head + shape.heads <= shape.all_heads, where,
          "heads [{}, {}) are not among the layer's {}", shape.first_head,
          shape.first_head + shape.heads, shape.all_heads);
  require(dropout.probability >= 0.0 && dropout.probability < 1.0, where,
          "dropout probability is {}; expected at least 0 and less than 1", dropout.probability);
  const std::int64_t rows = shape.batch * shape.tokens;
  const std::int64_t width = shape.heads * shape.head_dim;
  require_operand(where, "qkv", qkv, {rows, 3 * width}, qkv.dtype());
  require_operand(where, "out", out, {rows, width}, qkv.dtype());
  require_operand(where, "log_sum_exp", log_sum_exp, {shape.batch, shape.heads, shape.tokens},
                  accumulation_dtype(qkv.dtype()));
  if (key_padding_mask.defined()) {
    require_operand(where, "key_padding_mask", key_padding_mask, {shape.batch, shape.tokens},
                    DType::Int32);
  }
  require_floating(where, qkv.dtype());
}

}  // namespace

void attention_forward(const Tensor& qkv, const Tensor& key_padding_mask,
                       const AttentionShape& shape, const DropoutMask& dropout, Tensor& out,
                       Tensor& log_sum_exp) {
  check_attention("attention_forward", qkv, key_padding_mask, shape, dropout, out, log_sum_exp);
}

void attention_backward(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& dout, const AttentionShape& shape,
                        const DropoutMask& dropout, Tensor& dqkv) {
  check_attention("attention_backward", qkv, key_padding_mask, shape, dropout, out, log_sum_exp);
  require_operand("attention_backward", "dout", dout, out.shape(), qkv.dtype());
  require_operand("attention_backward", "dqkv", dqkv, qkv.shape(), qkv.dtype());
}

}  // namespace shardgrad::checks
