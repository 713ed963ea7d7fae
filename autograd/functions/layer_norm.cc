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

// Where a kernel is to write the gradient of an input: the memory that collects it if that has this
// dtype, else memory of its own. Of an input that needs no gradient it is memory of its own, too.
class Destination {
 public:
  Destination(Gradients& gradients, int input, const Shape& shape, DType dtype)
      : gradients_(gradients),
        input_(input),
        collects_(gradients.needed(input) && gradients.target_dtype(input) == dtype),
        target_(collects_ ? gradients.target(input)
                          : Gradients::Target{
                                Tensor::empty(shape, dtype, gradients.output().device()), false}) {}

  Tensor& gradient() { return target_.gradient; }
  bool accumulate() const { return target_.accumulate; }

  /// To be called when the gradient is written.
  void finish() {
    if (!collects_) gradients_.add(input_, std::move(target_.gradient));
  }

 private:
  Gradients& gradients_;
  int input_;
  bool collects_;
  Gradients::Target target_;
};

// One pass computes all. The shift's gradient is added after it, as scale and shift may be one
// variable.
void backward_layer_norm(const Tensor& x, const Tensor& gamma, const Normalized& saved,
                         Gradients& gradients) {
  Destination dx(gradients, 0, x.shape(), x.dtype());
  Destination dgamma(gradients, 1, gamma.shape(), saved.mean.dtype());
  Tensor dbeta = Tensor::empty_like(dgamma.gradient());
  kernels::layer_norm_backward(x, gamma, saved.mean, saved.rstd, gradients.output(),
                               dx.accumulate() ? dx.gradient() : Tensor(), dx.gradient(),
                               dgamma.gradient(), dgamma.accumulate(), dbeta, false);
  dx.finish();
  dgamma.finish();
  gradients.add(2, std::move(dbeta));
}

Variable record_layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Normalized& normalized) {
  Normalized saved = normalized;
  saved.y = Tensor();
  return record("layer_norm", {x, gamma, beta}, normalized.y,
                [x = x.value(), gamma = gamma.value(), saved](Gradients& gradients) {
                  backward_layer_norm(x, gamma, saved, gradients);
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
