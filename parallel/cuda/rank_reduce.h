// The CUDA twin of reduce_over_ranks().
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator.h"

namespace shardgrad::cuda {

/// The most ranks whose buffers one reduction takes.
inline constexpr int kMostReducedRanks = 64;

/// Each output[i] = the reduction of input[i] over the inputs, in their order, for 0 <= i < count:
/// the bits of the CPU's reduce_over_ranks(). All buffers are memory of the calling thread's
/// device, in whose stream it is queued. @throws Failure.
[[gnu::weak]] void reduce_over_ranks(DType dtype, ReduceOp op,
                                     const std::vector<const void*>& inputs,
                                     const std::vector<void*>& outputs, std::int64_t count);

}  // namespace shardgrad::cuda
