#include "tensor/kernels/layer_norm.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {

void layer_norm_forward(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  constexpr const char* kName = "layer_norm_forward";
  require_leading_matrix(kName, "x", x);
  const DType sums = accumulation_dtype(x.dtype());
  require(x.size(1) > 0, kName, "x has shape {}; expected at least one column",
          x.shape().to_string());
  require(epsilon > 0.0, kName, "epsilon is {}; expected a small positive number", epsilon);
  require_operand(kName, "gamma", gamma, {x.size(1)}, x.dtype());
  require_operand(kName, "beta", beta, {x.size(1)}, x.dtype());
  require_operand(kName, "y", y, x.shape(), x.dtype());
  require_operand(kName, "mean", mean, {x.size(0)}, sums);
  require_operand(kName, "rstd", rstd, {x.size(0)}, sums);
  require_floating(kName, x.dtype());
}

void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, const Tensor& addend, Tensor& dx,
                         Tensor& dgamma, bool, Tensor& dbeta, bool) {
  constexpr const char* kName = "layer_norm_backward";
  require_leading_matrix(kName, "x", x);
  const DType sums = accumulation_dtype(x.dtype());
  require_operand(kName, "gamma", gamma, {x.size(1)}, x.dtype());
  require_operand(kName, "mean", mean, {x.size(0)}, sums);
  require_operand(kName, "rstd", rstd, {x.size(0)}, sums);
  require_operand(kName, "dy", dy, x.shape(), x.dtype());
  require_operand(kName, "dx", dx, x.shape(), x.dtype());
  if (addend.defined()) require_operand(kName, "addend", addend, x.shape(), x.dtype());
  require_operand(kName, "dgamma", dgamma, {x.size(1)}, sums);
  require_operand(kName, "dbeta", dbeta, {x.size(1)}, sums);
  require_floating(kName, x.dtype());
}

}  // namespace shardgrad::checks
