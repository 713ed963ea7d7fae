// Checking that an extent splits over the ranks.
#pragma once

#include "parallel/communicator.h"

namespace shardgrad {

/// extent / world_size. @throws Error such as
/// `[ColumnParallelLinear] out_features 10 is not divisible by tp=4; choose tp from {1, 2, 5, 10}`.
std::int64_t divided(std::int64_t extent, const Communicator& tensor_parallel, const char* where,
                     const char* what);

/// The divisors of n up to 64, as "{1, 2, 5, 10}".
std::string divisors_of(std::int64_t n);

}  // namespace shardgrad
