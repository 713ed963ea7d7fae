// Starting the ranks of a run.
#pragma once

#include <functional>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/communicator_backend.h"

namespace shardgrad {

/// The ranks of a run in one process.
struct RunOptions {
  /// Where each rank has its tensors: on the CPU, or each on a CUDA device, of which several may
  /// have the same. There are as many ranks as devices.
  std::vector<Device> devices;
  int intra_op_threads = 0;
  CommunicatorBackend backend = CommunicatorBackend::Auto;
};

/// Runs `body` once per rank, each on a thread of this process with its own Communicator over all
/// of them, and returns when all have finished. Each rank may use `intra_op_threads` threads in its
/// kernels (0: its equal share of the process's cores, at least one). Its CUDA device is the
/// current one of its thread.
///
/// A group of one runs on the calling thread.
///
/// If a rank throws, the others are released from whatever collective they wait in, and the first
/// rank's exception (not the ones it caused elsewhere) is rethrown here, once. A rank that returns
/// while others need it in a collective ends that collective with an Error.
/// @throws Error when there are no ranks, when intra_op_threads < 0, and when the ranks cannot
/// communicate as asked (see choose_backend()).
void run_ranks(const RunOptions& options, const std::function<void(Communicator&)>& body);

/// The same with `world_size` ranks on the CPU.
void run_ranks(int world_size, int intra_op_threads,
               const std::function<void(Communicator&)>& body);

/// The intra-op threads of each of `world_size` ranks when `requested` are asked for; see above.
int threads_per_rank(int world_size, int requested);

/// Cores that this process may run on (its affinity mask, not the machine's count).
int available_cores();

}  // namespace shardgrad
