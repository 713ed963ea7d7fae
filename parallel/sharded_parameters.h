// What is computed of all shards together.
#pragma once

#include "nn/optim/flat_parameters.h"
#include "parallel/communicator.h"

namespace shardgrad {

/// The Euclidean norm of the gradients of the whole model: each shard counts on its own rank, a
/// replicated parameter once, on rank 0; one not reached by backward() counts as zero. One float64
/// element on the parameters' device, with the same bits on every rank. Summed in float64. Nothing
/// waits for the device.
Tensor gradient_norm(FlatParameters& parameters, Communicator& tensor_parallel);

/// The global tensor of which every rank holds `local` as `shard` says, without padding, on every
/// rank. For tests and checkpoints.
Tensor gather_shards(const Tensor& local, const ShardSpec& shard, Communicator& tensor_parallel);

}  // namespace shardgrad
