// The affine map behind every projection.
#pragma once

#include "autograd/variable.h"

namespace shardgrad {

/// y = x weight^T + bias: x [M, K], weight [N, K], bias [N] or undefined; y [M, N].
/// The weight's gradient is accumulated by the GEMM itself (beta = 1).
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

// For functions that compute a linear map together with something else.

/// Uninitialised memory for the y of linear(). @throws Error when the shapes do not fit.
Tensor linear_output(const Variable& x, const Variable& weight);

/// The variable for `y`, which has been computed as linear() does.
Variable record_linear(const Variable& x, const Variable& weight, const Variable& bias, Tensor y);

}  // namespace shardgrad
