#include "autograd/functions/gelu.h"

#include "tensor/kernels/gemm.h"

namespace shardgrad {
namespace {

// What a GELU keeps for the ways back through it.
struct SavedInput {
  Tensor x;
  bool differentiated = false;  // the gradient of y has become that of x
};

// The variable y = gelu(x), whose backward pass keeps x alone.
Variable record_gelu(const Variable& x, const Tensor& y, GeluKind kind) {
  const auto saved = std::make_shared<SavedInput>(SavedInput{x.value()});
  Variable result = record("gelu", {x}, y, [saved, kind](Gradients& gradients) {
    if (saved->differentiated) {
      gradients.add(0, gradients.take_output());
      return;
    }
    Tensor dx = gradients.scratch_like_output();
    kernels::gelu_backward(saved->x, gradients.output(), dx, kind);
    gradients.add(0, std::move(dx));
  });
  result.set_recompute([saved, kind](Tensor* dy) {
    // Where nobody else needs x any more, y takes its place.
    if (dy != nullptr && saved->x.is_sole_owner()) {
      Tensor y = std::move(saved->x);
      kernels::gelu_backward_and_value(y, *dy, y, *dy, kind);
      saved->differentiated = true;
      return y;
    }
    Tensor y = Tensor::empty_like(saved->x);
    kernels::gelu_forward(saved->x, y, kind);
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
