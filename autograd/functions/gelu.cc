#include "autograd/functions/gelu.h"

#include "tensor/kernels/gemm.h"

namespace shardgrad {
namespace {

// The variable y = gelu(x), whose backward pass keeps x alone.
Variable record_gelu(const Variable& x, const Tensor& y, GeluKind kind) {
  const Tensor& input = x.value();
  Variable result = record("gelu", {x}, y, [x = input, kind](Gradients& gradients) {
    Tensor dx = gradients.scratch_like_output();
    kernels::gelu_backward(x, gradients.output(), dx, kind);
    gradients.add(0, std::move(dx));
  });
  result.set_recompute([x = input, kind] {
    Tensor y = Tensor::empty_like(x);
    kernels::gelu_forward(x, y, kind);
    return y;
  });
  return result;
}

}  // namespace

Variable gelu(const Variable& x, GeluKind kind) {
  Tensor y = Tensor::empty_like(x.value());
  kernels::gelu_forward(x.value(), y, kind);
  return record_gelu(x, y, kind);
}

Variable linear_gelu(const Variable& x, const Variable& weight, const Variable& bias, GeluKind kind,
                     const InputRegion& region) {
  const Tensor input = linear_input(x, region);
  Tensor pre_activation = linear_output(input, weight);
  Tensor y = Tensor::empty_like(pre_activation);
  kernels::gemm_bias_gelu(input, weight.value().transpose(0, 1), bias.value(), kind, pre_activation,
                          y);
  return record_gelu(record_linear(x, weight, bias, region, pre_activation), y, kind);
}

}  // namespace shardgrad
