#include "tensor/kernels/gelu.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {

void gelu_forward(const Tensor& x, Tensor& y, GeluKind) {
  require_leading_operand("gelu_forward", "x", x);
  require_operand("gelu_forward", "y", y, x.shape(), x.dtype());
  require_floating("gelu_forward", x.dtype());
}

void gelu_backward(const Tensor& x, const Tensor& dy, Tensor& dx, GeluKind) {
  require_leading_operand("gelu_backward", "x", x);
  require_operand("gelu_backward", "dy", dy, x.shape(), x.dtype());
  require_operand("gelu_backward", "dx", dx, x.shape(), x.dtype());
  require_floating("gelu_backward", x.dtype());
}

void gelu_backward_and_value(const Tensor& x, const Tensor& dy, Tensor& y, Tensor& dx, GeluKind) {
  require_leading_operand("gelu_backward_and_value", "x", x);
  require_operand("gelu_backward_and_value", "dy", dy, x.shape(), x.dtype());
  require_operand("gelu_backward_and_value", "y", y, x.shape(), x.dtype());
  require_operand("gelu_backward_and_value", "dx", dx, x.shape(), x.dtype());
  require_floating("gelu_backward_and_value", x.dtype());
}

}  // namespace shardgrad::checks
