// Layer normalisation, alone and behind the residual connection that feeds it.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/dropout.h"

namespace shardgrad {

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last dimension: x [M, D];
/// gamma, beta [D].
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                    double epsilon = 1e-5);

/// What residual_layer_norm() gives.
struct ResidualLayerNorm {
  Variable sum;         ///< residual + dropout(x), [M, D]
  Variable normalized;  ///< layer_norm(sum), [M, D]
};

/// sum = dropout_add(x, residual, mask) and layer_norm(sum, gamma, beta, epsilon) in one pass over
/// memory, in place of x when it was moved in. Backward it is the two functions one after the
/// other, of which the norm's adds its gradient to that of the residual stream as it writes it.
ResidualLayerNorm residual_layer_norm(Variable x, const Variable& residual, const DropoutMask& mask,
                                      const Variable& gamma, const Variable& beta,
                                      double epsilon = 1e-5);

}  // namespace shardgrad
