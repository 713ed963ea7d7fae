// Starting the ranks of a run.
#pragma once

#include <functional>

#include "parallel/communicator.h"

namespace shardgrad {

/// Runs `body` once per rank, each on a thread of this process with its own Communicator over all
/// of them, and returns when all have finished. Each rank may use `intra_op_threads` threads in its
/// kernels (0: its equal share of the process's cores, at least one).
///
/// A group of one runs on the calling thread.
///
/// If a rank throws, the others are released from whatever collective they wait in, and the first
/// rank's exception (not the ones it caused elsewhere) is rethrown here, once. A rank that returns
/// while others need it in a collective ends that collective with an Error.
/// @throws Error when world_size < 1 or intra_op_threads < 0.
void run_ranks(int world_size, int intra_op_threads,
               const std::function<void(Communicator&)>& body);

/// The intra-op threads of each of `world_size` ranks when `requested` are asked for; see above.
int threads_per_rank(int world_size, int requested);

/// Cores that this process may run on (its affinity mask, not the machine's count).
int available_cores();

}  // namespace shardgrad
