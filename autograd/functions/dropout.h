// Dropout with a mask that is a pure function of its key: nothing is stored for the backward pass.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/dropout.h"

namespace shardgrad {

/// x with elements zeroed with mask.probability and the others scaled by 1 / (1 - probability).
/// x itself when the probability is 0.
Variable dropout(const Variable& x, const DropoutMask& mask);

/// residual + dropout(x), in one pass and in place of x when nobody else holds it.
Variable dropout_add(Variable x, const Variable& residual, const DropoutMask& mask);

/// The variable for `sum`, which has been computed as dropout_add() does: for functions that
/// compute it together with something else.
Variable record_dropout_add(Variable x, const Variable& residual, const DropoutMask& mask,
                            Tensor sum);

}  // namespace shardgrad
