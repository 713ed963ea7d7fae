#include "autograd/functions/linear.h"

#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/gemm.h"

namespace shardgrad {
namespace {

// The gradient of x on this side of the region, begun to be carried over it.
std::function<Tensor()> begin_input_gradient(const Tensor& dy, const Tensor& weight,
                                             const Crossing& crossing) {
  Tensor dx = Tensor::empty({dy.size(0), weight.size(1)}, dy.dtype(), dy.device());
  kernels::gemm(dy, weight, Tensor(), dx, false);
  return crossing(std::move(dx));
}

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias,
                const InputRegion& region) {
  const Tensor input = linear_input(x, region);
  Tensor y = linear_output(input, weight);
  kernels::gemm(input, weight.value().transpose(0, 1), bias.value(), y, false);
  return record_linear(x, weight, bias, region, std::move(y));
}

Tensor linear_input(const Variable& x, const InputRegion& region) {
  return region.forward ? region.forward(x.value())() : x.value();
}

Tensor linear_output(const Tensor& input, const Variable& weight) {
  require(input.rank() == 2 && weight.value().rank() == 2 && input.size(1) == weight.size(1),
          "linear", "x is {} and weight {}; expected [M, K] and [N, K]", input.shape().to_string(),
          weight.shape().to_string());
  return Tensor::empty({input.size(0), weight.size(0)}, input.dtype(), input.device());
}

Variable record_linear(const Variable& x, const Variable& weight, const Variable& bias,
                       const InputRegion& region, Tensor y) {
  std::vector<Variable> inputs{x, weight};
  if (bias.defined()) inputs.push_back(bias);
  return record("linear", std::move(inputs), std::move(y),
                [x = x.saved(), weight = weight.value(), has_bias = bias.defined(),
                 region](Gradients& gradients) {
                  const Tensor& dy = gradients.output();
                  std::function<Tensor()> input = [&] {
                    // What crosses is added at the end.
                    return x.get(region.backward ? nullptr : gradients.complete_gradient(0));
                  };
                  if (region.forward && gradients.needed(1)) input = region.forward(x.get());
                  std::function<Tensor()> crossing_dx;
                  if (gradients.needed(0) && region.backward) {
                    crossing_dx = begin_input_gradient(dy, weight, region.backward);
                  } else if (gradients.needed(0)) {
                    auto [dx, accumulate] = gradients.target(0);
                    kernels::gemm(dy, weight, Tensor(), dx, accumulate);
                  }
                  if (gradients.needed(1)) {
                    auto [dweight, accumulate] = gradients.target(1);
                    kernels::gemm(dy.transpose(0, 1), input(), Tensor(), dweight, accumulate);
                  }
                  if (has_bias && gradients.needed(2)) {
                    auto [dbias, accumulate] = gradients.target(2);
                    kernels::sum_rows(dy, dbias, accumulate);
                  }
                  if (crossing_dx) gradients.add(0, crossing_dx());
                });
}

}  // namespace shardgrad
