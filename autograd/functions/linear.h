// The affine map behind every projection.
#pragma once

#include <functional>

#include "autograd/variable.h"

namespace shardgrad {

/// Begins to carry a tensor over a border, and returns the function, to be called once, that waits
/// for it and gives what has arrived.
using Crossing = std::function<std::function<Tensor()>(Tensor)>;

/// A border between ranks that lies right before a linear map: what becomes of its input on the way
/// in, and of the input's gradient on the way out. Empty functions: it stays as it is.
///
/// It is part of the map, and not an operation before it, for two reasons. The backward pass can
/// compute the weight's gradient while the input's is on its way. And what has come in need not be
/// kept for that gradient: it comes in again, while the input's gradient is computed.
/// Source: Korthikanti et al., arXiv:2205.05198, section 4.2.2.
struct InputRegion {
  Crossing forward;
  Crossing backward;
};

/// y = x weight^T + bias: x [M, K], weight [N, K], bias [N] or undefined; y [M, N]. With a region,
/// x is what its forward function makes of the variable's value.
/// The weight's gradient is accumulated by the GEMM itself (beta = 1).
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {},
                const InputRegion& region = {});

// For functions that compute a linear map together with something else.

/// x on the other side of the region: what is multiplied.
Tensor linear_input(const Variable& x, const InputRegion& region);

/// Uninitialised memory for the y of linear(). @throws Error when the shapes do not fit.
Tensor linear_output(const Tensor& input, const Variable& weight);

/// The variable for `y`, which has been computed as linear() does.
Variable record_linear(const Variable& x, const Variable& weight, const Variable& bias,
                       const InputRegion& region, Tensor y);

}  // namespace shardgrad
