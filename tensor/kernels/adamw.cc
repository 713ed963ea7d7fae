#include "tensor/kernels/adamw.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {

void adamw(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
           const Tensor& gradient_norm, const AdamWStep& step, Tensor& rounded) {
  require_leading_operand("adamw", "parameter", parameter);
  require_operand("adamw", "gradient", gradient, parameter.shape(), parameter.dtype());
  require_operand("adamw", "first_moment", first_moment, parameter.shape(), parameter.dtype());
  require_operand("adamw", "second_moment", second_moment, parameter.shape(), parameter.dtype());
  require_accumulating("adamw", parameter.dtype());
  require(step.step >= 1, "adamw", "step is {}; steps are counted from 1", step.step);
  require(step.beta1 >= 0.0 && step.beta1 < 1.0 && step.beta2 >= 0.0 && step.beta2 < 1.0, "adamw",
          "beta1 is {} and beta2 is {}; each must be at least 0 and less than 1", step.beta1,
          step.beta2);
  require(step.max_gradient_norm >= 0.0, "adamw", "max_gradient_norm is {}; expected 0 or more",
          step.max_gradient_norm);
  if (rounded.defined()) {
    require_operand("adamw", "rounded", rounded, parameter.shape(), DType::BFloat16);
  }
  if (gradient_norm.defined()) require_number("adamw", "gradient_norm", gradient_norm);
}

}  // namespace shardgrad::checks
