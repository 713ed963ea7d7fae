#include "autograd/functions/arithmetic.h"

#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/reduce.h"

namespace shardgrad {

Variable add(const Variable& a, const Variable& b) {
  Tensor out = Tensor::empty_like(a.value());
  kernels::add(a.value(), b.value(), out);
  return record("add", {a, b}, out, [](Gradients& gradients) {
    gradients.add(0, gradients.output());
    gradients.add(1, gradients.output());
  });
}

Variable scale(const Variable& x, double factor) {
  Tensor out = Tensor::empty_like(x.value());
  kernels::scale(x.value(), factor, out);
  return record("scale", {x}, out, [factor](Gradients& gradients) {
    Tensor dx = gradients.scratch_like_output();
    kernels::scale(gradients.output(), factor, dx);
    gradients.add(0, std::move(dx));
  });
}

Variable sum(const Variable& x) {
  Tensor out = Tensor::empty({1}, DType::Float64, x.value().device());
  kernels::sum(x.value(), out);
  return record("sum", {x}, out,
                [shape = x.shape(), dtype = x.value().dtype()](Gradients& gradients) {
                  const Tensor& dy = gradients.output();
                  gradients.add(0, Tensor::full(shape, dy.item(), dtype, dy.device()));
                });
}

Variable add_bias(Variable x, const Variable& bias) {
  Tensor value = std::move(x).release_value();  // x is left as the graph's edge only
  Tensor out = value.is_sole_owner() ? value : Tensor::empty_like(value);
  kernels::add_bias(value, bias.value(), out);
  return record("add_bias", {std::move(x), bias}, out, [](Gradients& gradients) {
    if (gradients.needed(1)) {
      auto [dbias, accumulate] = gradients.target(1);
      kernels::sum_rows(gradients.output(), dbias, accumulate);
    }
    gradients.add(0, gradients.output());
  });
}

Variable first_columns(const Variable& x, std::int64_t count) {
  require(x.value().rank() == 2 && count > 0 && count <= x.size(1), "first_columns",
          "count {} does not fit x of {}; expected [M, N] and 1 <= count <= N", count,
          x.shape().to_string());
  if (count == x.size(1)) return x;
  return record("first_columns", {x}, x.value().slice(1, 0, count).contiguous(),
                [shape = x.shape(), count](Gradients& gradients) {
                  const Tensor& dy = gradients.output();
                  Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
                  dx.slice(1, 0, count).copy_from(dy);
                  gradients.add(0, std::move(dx));
                });
}

Variable reshape(const Variable& x, const Shape& shape) {
  Tensor view = x.value().reshape(shape);
  return record("reshape", {x}, view, [original = x.shape()](Gradients& gradients) {
    gradients.add(0, gradients.output().reshape(original));
  });
}

}  // namespace shardgrad
