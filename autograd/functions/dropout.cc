#include "autograd/functions/dropout.h"

#include "autograd/functions/arithmetic.h"

namespace shardgrad {

Variable dropout(const Variable& x, const DropoutMask& mask) {
  if (mask.probability == 0.0) return x;
  Tensor out = Tensor::empty_like(x.value());
  kernels::dropout(x.value(), mask, out);
  return record("dropout", {x}, out, [mask](Gradients& gradients) {
    Tensor dx = gradients.scratch_like_output();
    kernels::dropout(gradients.output(), mask, dx);
    gradients.add(0, std::move(dx));
  });
}

Variable dropout_add(Variable x, const Variable& residual, const DropoutMask& mask) {
  Tensor value = std::move(x).release_value();  // x is left as the graph's edge only
  Tensor out = value.is_sole_owner() ? value : Tensor::empty_like(value);
  kernels::dropout_add(value, residual.value(), mask, out);
  return record_dropout_add(std::move(x), residual, mask, std::move(out));
}

Variable record_dropout_add(Variable x, const Variable& residual, const DropoutMask& mask,
                            Tensor sum) {
  return record("dropout_add", {std::move(x), residual}, std::move(sum),
                [mask](Gradients& gradients) {
                  if (mask.probability == 0.0) {
                    gradients.add(0, gradients.output());
                  } else if (gradients.needed(0)) {
                    Tensor dx = Tensor::empty_like(gradients.output());
                    kernels::dropout(gradients.output(), mask, dx);
                    gradients.add(0, std::move(dx));
                  }
                  gradients.add(1, gradients.output());
                });
}

}  // namespace shardgrad
