// Elementwise reduction over the buffers of several ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator.h"

namespace shardgrad {

/// Each output[i] = the reduction of input[i] over the inputs, in their order, for 0 <= i < count.
/// An output may be one of the inputs, at the same place. Max of anything with a NaN is a NaN.
/// A sum of bfloat16 is formed in float32 and rounded once. Takes two inputs or more.
void reduce_over_ranks(DType dtype, ReduceOp op, const std::vector<const void*>& inputs,
                       const std::vector<void*>& outputs, std::int64_t count);

}  // namespace shardgrad
