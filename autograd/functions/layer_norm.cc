#include "autograd/functions/layer_norm.h"

#include "tensor/kernels/layer_norm.h"

namespace shardgrad {

Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                    double epsilon) {
  const Tensor& input = x.value();
  require(
      input.rank() == 2 && gamma.shape() == Shape{input.size(1)} && beta.shape() == gamma.shape(),
      "layer_norm", "x is {}, gamma {}, beta {}; expected [M, D], [D], [D]", x.shape().to_string(),
      gamma.shape().to_string(), beta.shape().to_string());
  Tensor y = Tensor::empty_like(input);
  Tensor mean = Tensor::empty({input.size(0)}, input.dtype(), input.device());
  Tensor rstd = Tensor::empty_like(mean);
  kernels::layer_norm_forward(input, gamma.value(), beta.value(), epsilon, y, mean, rstd);
  return record("layer_norm", {x, gamma, beta}, y,
                [x = input, gamma = gamma.value(), mean, rstd](Gradients& gradients) {
                  const Tensor& dy = gradients.output();
                  if (gradients.needed(0)) {
                    auto [dx, accumulate] = gradients.target(0);
                    kernels::layer_norm_backward_input(x, gamma, mean, rstd, dy,
                                                       accumulate ? dx : Tensor(), dx);
                  }
                  if (gradients.needed(1) || gradients.needed(2)) {
                    // One pass computes both. The shift's gradient is added after it, as scale and
                    // shift may be one variable; an unneeded one goes to memory of its own.
                    Tensor dbeta = Tensor::empty_like(gamma);
                    auto [dgamma, accumulate] =
                        gradients.needed(1) ? gradients.target(1)
                                            : Gradients::Target{Tensor::empty_like(gamma), false};
                    kernels::layer_norm_backward_parameters(x, mean, rstd, dy, dgamma, accumulate,
                                                            dbeta, false);
                    gradients.add(2, std::move(dbeta));
                  }
                });
}

}  // namespace shardgrad
