// What is computed of all shards together.
#pragma once

#include <vector>

#include "nn/optim/flat_parameters.h"
#include "parallel/communicator.h"

namespace shardgrad {

/// Sums the partial gradients (see Parameter) over the tensor-parallel ranks: once, when all
/// backward passes of a step are done. `owned` as in gradient_norm(). Source: Korthikanti et al.,
/// arXiv:2205.05198, section 4.2.2.
void sum_partial_gradients(FlatParameters& parameters, Communicator& tensor_parallel,
                           const std::vector<FlatRange>& owned);
void sum_partial_gradients(FlatParameters& parameters, Communicator& tensor_parallel);

/// The Euclidean norm of the gradients of the whole model: each shard counts on its own rank, a
/// replicated parameter once, on rank 0; one not reached by backward() counts as zero. One float64
/// element on the parameters' device, with the same bits on every rank. Summed in float64. Nothing
/// waits for the device.
Tensor gradient_norm(FlatParameters& parameters, Communicator& tensor_parallel);

/// The same when each rank of `data_parallel` holds the gradients of the elements `owned` alone,
/// and all of them together those of the model.
Tensor gradient_norm(FlatParameters& parameters, Communicator& tensor_parallel,
                     const std::vector<FlatRange>& owned, Communicator& data_parallel);

/// The global tensor of which every rank holds `local` as `shard` says, without padding, on every
/// rank. For tests and checkpoints.
Tensor gather_shards(const Tensor& local, const ShardSpec& shard, Communicator& tensor_parallel);

}  // namespace shardgrad
