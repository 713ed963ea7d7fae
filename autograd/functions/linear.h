// The affine map behind every projection.
#pragma once

#include "autograd/variable.h"

namespace shardgrad {

/// y = x weight^T + bias: x [M, K], weight [N, K], bias [N] or undefined; y [M, N].
/// The weight's gradient is accumulated by the GEMM itself (beta = 1).
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

}  // namespace shardgrad
