// Cutting extents and parameters over the ranks of a group.
#pragma once

#include <string>

#include "nn/shard_spec.h"
#include "parallel/communicator.h"

namespace shardgrad {

/// extent / tensor_parallel_size. @throws Error such as
/// `[ColumnParallelLinear] out_features 10 is not divisible by tp=4; choose tp from {1, 2, 5, 10}`.
std::int64_t divided(std::int64_t extent, int tensor_parallel_size, const char* where,
                     const char* what);

/// The divisors of n up to 64, as "{1, 2, 5, 10}".
std::string divisors_of(std::int64_t n);

/// What `group`'s rank holds of a parameter of global `shape` whose `dim` is cut over the group.
ShardSpec sharded_over(const Communicator& group, const Shape& shape, int dim,
                       std::int64_t segments = 1);

}  // namespace shardgrad
