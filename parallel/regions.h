// The conjugate pairs of tensor parallelism: what crosses between the ranks, and when.
#pragma once

#include "autograd/variable.h"
#include "parallel/communicator.h"

namespace shardgrad {

// Each function takes x [M, N] to the other side of a border between replicated and sharded
// activations; its backward pass is the conjugate. Named f and g in Megatron-LM (Shoeybi et al.,
// arXiv:1909.08053, section 3). In a group of one each returns x itself. An x that nobody else
// holds (it was moved in) is reduced in place. The communicator must outlive the graph.

/// f: identity; backward all-reduce. At the entrance of a column-parallel layer.
Variable copy_to_tensor_parallel(Variable x, Communicator& tensor_parallel);

/// g: all-reduce (sum); backward identity. At the exit of a row-parallel layer.
Variable reduce_from_tensor_parallel(Variable x, Communicator& tensor_parallel);

/// This rank's part of the last dim: [M, N] -> [M, N / world_size]; backward all-gather.
/// @throws Error unless world_size divides N.
Variable scatter_to_tensor_parallel(Variable x, Communicator& tensor_parallel);

/// All parts of the last dim: [M, N] -> [M, world_size * N]; backward takes this rank's part. Right
/// where what consumes the result is replicated: every rank then computes the same gradient.
Variable gather_from_tensor_parallel(Variable x, Communicator& tensor_parallel);

}  // namespace shardgrad
