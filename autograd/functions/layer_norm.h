// Layer normalisation.
#pragma once

#include "autograd/variable.h"

namespace shardgrad {

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last dimension: x [M, D];
/// gamma, beta [D].
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                    double epsilon = 1e-5);

}  // namespace shardgrad
