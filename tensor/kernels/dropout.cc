#include "tensor/kernels/dropout.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {
namespace {

void check_mask(const char* where, const DropoutMask& mask) {
  require(mask.probability >= 0.0 && mask.probability < 1.0, where,
          "probability is {}; expected at least 0 and less than 1", mask.probability);
  require(mask.first_element >= 0, where, "first_element is {}; expected at least 0",
          mask.first_element);
}

}  // namespace

void dropout(const Tensor& x, const DropoutMask& mask, Tensor& out) {
  check_mask("dropout", mask);
  require_leading_operand("dropout", "x", x);
  require_operand("dropout", "out", out, x.shape(), x.dtype());
  require_floating("dropout", x.dtype());
}

void dropout_add(const Tensor& x, const Tensor& residual, const DropoutMask& mask, Tensor& out) {
  check_mask("dropout_add", mask);
  require_leading_operand("dropout_add", "x", x);
  require_operand("dropout_add", "residual", residual, x.shape(), x.dtype());
  require_operand("dropout_add", "out", out, x.shape(), x.dtype());
  require_floating("dropout_add", x.dtype());
}

}  // namespace shardgrad::checks
