// The GELU activation, alone and behind the projection that feeds it.
#pragma once

#include "autograd/functions/linear.h"
#include "tensor/kernels/gelu.h"

namespace shardgrad {

/// gelu(x), element by element; see GeluKind for the two formulas. The result is not kept for
/// backward passes, which compute it again from x.
Variable gelu(const Variable& x, GeluKind kind = GeluKind::Tanh);

/// gelu(linear(x, weight, bias, region)), with bias and GELU in the epilogue of the matrix product
/// where the device can; shapes as in linear(). Backward it is the two functions one after the
/// other.
Variable linear_gelu(const Variable& x, const Variable& weight, const Variable& bias, GeluKind kind,
                     const InputRegion& region = {});

}  // namespace shardgrad
