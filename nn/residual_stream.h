// ResidualStream: what the blocks of a transformer pass on to each other.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/dropout.h"

namespace shardgrad {

/// The residual stream of a pre-LN transformer: its value is `value` + dropout(`branch`). A layer
/// leaves its output as the branch, since what comes next is always a layer norm, which adds it to
/// the stream and normalises the sum in one pass over memory (see LayerNorm).
struct ResidualStream {
  Variable value;    ///< [B*T, d_model], or this rank's slice of the rows
  Variable branch;   ///< like the value, or undefined: nothing is pending
  DropoutMask mask;  ///< of the branch
};

}  // namespace shardgrad
