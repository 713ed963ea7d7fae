#include "autograd/functions/linear.h"

#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/gemm.h"

namespace shardgrad {

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  Tensor y = linear_output(x, weight);
  kernels::gemm(x.value(), weight.value().transpose(0, 1), bias.value(), y, false);
  return record_linear(x, weight, bias, std::move(y));
}

Tensor linear_output(const Variable& x, const Variable& weight) {
  require(x.value().rank() == 2 && weight.value().rank() == 2 && x.size(1) == weight.size(1),
          "linear", "x is {} and weight {}; expected [M, K] and [N, K]", x.shape().to_string(),
          weight.shape().to_string());
  return Tensor::empty({x.size(0), weight.size(0)}, x.value().dtype(), x.value().device());
}

Variable record_linear(const Variable& x, const Variable& weight, const Variable& bias, Tensor y) {
  std::vector<Variable> inputs{x, weight};
  if (bias.defined()) inputs.push_back(bias);
  return record(
      "linear", std::move(inputs), std::move(y),
      [x = x.saved(), weight = weight.value(), has_bias = bias.defined()](Gradients& gradients) {
        const Tensor& dy = gradients.output();
        if (gradients.needed(0)) {
          auto [dx, accumulate] = gradients.target(0);
          kernels::gemm(dy, weight, Tensor(), dx, accumulate);
        }
        if (gradients.needed(1)) {
          auto [dweight, accumulate] = gradients.target(1);
          kernels::gemm(dy.transpose(0, 1), x.get(), Tensor(), dweight, accumulate);
        }
        if (has_bias && gradients.needed(2)) {
          auto [dbias, accumulate] = gradients.target(2);
          kernels::sum_rows(dy, dbias, accumulate);
        }
      });
}

}  // namespace shardgrad
