// The conjugate pairs of tensor parallelism: what crosses between the ranks, and when.
#pragma once

#include "autograd/functions/linear.h"
#include "autograd/variable.h"
#include "parallel/communication_queue.h"
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

// Sequence parallelism (Korthikanti et al., arXiv:2205.05198, section 4.2.2; g and g-bar there):
// between the parallel layers rank r of p holds rows [r*M/p, (r+1)*M/p) of a token matrix [M, N].

/// The slices of all ranks: [M / p, N] -> [M, N]; backward reduce-scatter. Right where what
/// consumes the result differs from rank to rank, as a column-parallel layer does.
Variable gather_from_sequence_parallel(Variable x, Communicator& tensor_parallel);

/// This rank's slice of the sum: [M, N] -> [M / p, N]; backward all-gather. At the exit of a
/// row-parallel layer. @throws Error unless p divides M.
Variable reduce_scatter_to_sequence_parallel(Variable x, Communicator& tensor_parallel);

// The regions at the entrance of a column-parallel layer in the form in which linear() takes them.
// What crosses does so on the queue `overlap`, or if that is null on the group itself, with the
// same result. In a group of one they are empty.

/// As copy_to_tensor_parallel().
InputRegion copied_input(Communicator& tensor_parallel, CommunicationQueue* overlap);

/// As gather_from_sequence_parallel().
InputRegion gathered_input(Communicator& tensor_parallel, CommunicationQueue* overlap);

}  // namespace shardgrad
