#include "autograd/functions/layer_norm.h"

#include "autograd/functions/dropout.h"
#include "tensor/kernels/layer_norm.h"
#include "tensor/kernels/residual_layer_norm.h"

namespace shardgrad {
namespace {

void check_shapes(const char* where, const Tensor& x, const Variable& gamma, const Variable& beta) {
  require(x.rank() == 2 && gamma.shape() == Shape{x.size(1)} && beta.shape() == gamma.shape(),
          where, "x is {}, gamma {}, beta {}; expected [M, D], [D], [D]", x.shape().to_string(),
          gamma.shape().to_string(), beta.shape().to_string());
}

// What the forward pass computes beside the sum.
struct Normalized {
  explicit Normalized(const Tensor& x)
      : y(Tensor::empty_like(x)),
        mean(Tensor::empty({x.size(0)}, accumulation_dtype(x.dtype()), x.device())),
        rstd(Tensor::empty_like(mean)) {}

  Tensor y, mean, rstd;
};

void backward_input(const Tensor& x, const Tensor& gamma, const Normalized& saved,
                    Gradients& gradients) {
  const Tensor& dy = gradients.output();
  if (gradients.target_dtype(0) == x.dtype()) {
    auto [dx, accumulate] = gradients.target(0);
    kernels::layer_norm_backward_input(x, gamma, saved.mean, saved.rstd, dy,
                                       accumulate ? dx : Tensor(), dx);
    return;
  }
  Tensor dx = Tensor::empty_like(x);
  kernels::layer_norm_backward_input(x, gamma, saved.mean, saved.rstd, dy, Tensor(), dx);
  gradients.add(0, std::move(dx));
}

// One pass computes both. The shift's gradient is added after it, as scale and shift may be one
// variable; what is not needed, or collected in another dtype, goes to memory of its own.
void backward_parameters(const Tensor& x, const Normalized& saved, Gradients& gradients) {
  const auto own_memory = [&] {
    return Tensor::empty({x.size(1)}, saved.mean.dtype(), x.device());
  };
  const bool in_place = gradients.needed(1) && gradients.target_dtype(1) == saved.mean.dtype();
  auto [dgamma, accumulate] =
      in_place ? gradients.target(1) : Gradients::Target{own_memory(), false};
  Tensor dbeta = own_memory();
  kernels::layer_norm_backward_parameters(x, saved.mean, saved.rstd, gradients.output(), dgamma,
                                          accumulate, dbeta, false);
  if (!in_place) gradients.add(1, std::move(dgamma));
  gradients.add(2, std::move(dbeta));
}

Variable record_layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Normalized& normalized) {
  Normalized saved = normalized;
  saved.y = Tensor();
  return record("layer_norm", {x, gamma, beta}, normalized.y,
                [x = x.value(), gamma = gamma.value(), saved](Gradients& gradients) {
                  if (gradients.needed(0)) backward_input(x, gamma, saved, gradients);
                  if (gradients.needed(1) || gradients.needed(2)) {
                    backward_parameters(x, saved, gradients);
                  }
                });
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                    double epsilon) {
  const Tensor& input = x.value();
  check_shapes("layer_norm", input, gamma, beta);
  Normalized result(input);
  kernels::layer_norm_forward(input, gamma.value(), beta.value(), epsilon, result.y, result.mean,
                              result.rstd);
  return record_layer_norm(x, gamma, beta, result);
}

ResidualLayerNorm residual_layer_norm(Variable x, const Variable& residual, const DropoutMask& mask,
                                      const Variable& gamma, const Variable& beta, double epsilon) {
  Tensor value = std::move(x).release_value();  // x is left as the graph's edge only
  check_shapes("residual_layer_norm", value, gamma, beta);
  Normalized result(value);
  Tensor sum = value.is_sole_owner() ? value : Tensor::empty_like(value);
  kernels::residual_layer_norm_forward(value, residual.value(), mask, gamma.value(), beta.value(),
                                       epsilon, sum, result.y, result.mean, result.rstd);
  const Variable stream = record_dropout_add(std::move(x), residual, mask, std::move(sum));
  return {stream, record_layer_norm(stream, gamma, beta, result)};
}

}  // namespace shardgrad
