#include "autograd/functions/gelu.h"

namespace shardgrad {

Variable gelu(const Variable& x, GeluKind kind) {
  Tensor y = Tensor::empty_like(x.value());
  kernels::gelu_forward(x.value(), y, kind);
  return record("gelu", {x}, y, [x = x.value(), kind](Gradients& gradients) {
    Tensor dx = gradients.scratch_like_output();
    kernels::gelu_backward(x, gradients.output(), dx, kind);
    gradients.add(0, std::move(dx));
  });
}

}  // namespace shardgrad
