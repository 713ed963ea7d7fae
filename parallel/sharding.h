// Cutting extents and parameters over the ranks of a group.
#pragma once

#include "nn/shard_spec.h"
#include "parallel/communicator.h"

namespace shardgrad {

/// extent / tensor_parallel_size. @throws Error such as
/// `[ColumnParallelLinear] out_features 10 is not divisible by tp=4; choose tp from {1, 2, 5, 10}`.
std::int64_t divided(std::int64_t extent, int tensor_parallel_size, const char* where,
                     const char* what);

/// What `group`'s rank holds of a parameter of global `shape` whose `dim` is cut over the group.
ShardSpec sharded_over(const Communicator& group, const Shape& shape, int dim,
                       std::int64_t segments = 1);

/// The same of a tensor whose first dim is the vocabulary: each rank's part is padded to a multiple
/// of 64, as the matrix products with the logits then use the tensor cores' widest instructions.
/// On an H100, those of GPT-2's 50,257 columns in bf16 took five times as long as those of 50,304.
ShardSpec vocabulary_sharded_over(const Communicator& group, const Shape& shape);

/// The rows of such a tensor that each of `tensor_parallel_size` ranks holds, padding included.
std::int64_t vocabulary_rows(std::int64_t vocab_size, int tensor_parallel_size);

}  // namespace shardgrad
