// The GELU activation.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/gelu.h"

namespace shardgrad {

/// gelu(x), element by element; see GeluKind for the two formulas.
Variable gelu(const Variable& x, GeluKind kind = GeluKind::Tanh);

}  // namespace shardgrad
