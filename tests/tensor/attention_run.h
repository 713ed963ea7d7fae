// Both passes of causal attention, run on inputs of their own.
#pragma once

#include <cmath>

#include "tensor/kernels/attention.h"
#include "tests/support/reference.h"

namespace shardgrad::attention_run {

/// A call that computes all heads of a layer.
inline AttentionShape whole(std::int64_t batch, std::int64_t tokens, std::int64_t heads,
                            std::int64_t head_dim) {
  return {batch, tokens, heads, head_dim, 0, heads, 0};
}

/// Drops with this probability.
inline DropoutMask dropout_of(double probability) { return {probability, {17, 23}, 0}; }

/// The outputs of both passes; NaN before the kernels have written them.
struct Result {
  Result(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& dout,
         const AttentionShape& shape, const DropoutMask& dropout)
      : out(filled({shape.batch * shape.tokens, shape.heads * shape.head_dim}, qkv.dtype())),
        log_sum_exp(
            filled({shape.batch, shape.heads, shape.tokens}, accumulation_dtype(qkv.dtype()))),
        dqkv(filled(qkv.shape(), qkv.dtype())) {
    kernels::attention_forward(qkv, key_padding_mask, shape, dropout, out, log_sum_exp);
    kernels::attention_backward(qkv, key_padding_mask, out, log_sum_exp, dout, shape, dropout,
                                dqkv);
  }
  static Tensor filled(const Shape& shape, DType dtype) {
    return Tensor::full(shape, std::nan(""), dtype);
  }

  Tensor out, log_sum_exp, dqkv;
};

/// Random inputs of both passes.
struct Inputs {
  Inputs(const AttentionShape& shape, DType dtype, double scale = 1.0)
      : qkv(reference::random_tensor({shape.batch * shape.tokens, 3 * shape.heads * shape.head_dim},
                                     dtype, 1, scale)),
        dout(reference::random_tensor({shape.batch * shape.tokens, shape.heads * shape.head_dim},
                                      dtype, 2)) {}

  Tensor qkv, dout;
};

}  // namespace shardgrad::attention_run
