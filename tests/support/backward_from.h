// backward() from a result that is no scalar.
#pragma once

#include "autograd/variable.h"

namespace shardgrad {

/// Runs backward() with `dy` (the shape and dtype of y) as the gradient of y.
inline void backward_from(const Variable& y, const Tensor& dy) {
  backward(record("backward_from", {y}, Tensor::zeros({1}, DType::Float64),
                  [dy](Gradients& gradients) { gradients.add(0, dy); }));
}

}  // namespace shardgrad
