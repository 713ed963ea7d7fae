#include "tensor/kernels/residual_layer_norm.h"

#include "tensor/kernels/layer_norm.h"

namespace shardgrad::checks {

void residual_layer_norm_forward(const Tensor& x, const Tensor& residual, const DropoutMask& mask,
                                 const Tensor& gamma, const Tensor& beta, double epsilon,
                                 Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  dropout_add(x, residual, mask, sum);
  layer_norm_forward(sum, gamma, beta, epsilon, y, mean, rstd);
}

}  // namespace shardgrad::checks
