// What ranks do together in the tests with mpirun. A scenario throws Error when something is not as
// it should be.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "parallel/processes.h"

namespace shardgrad::mpi_testing {

using Scenario = std::function<void(Processes&)>;

/// Collectives, groups and threads: the same as over the thread communicator, bit for bit.
std::map<std::string, Scenario> communication_scenarios();

/// Calls that cannot be right.
std::map<std::string, Scenario> misuse_scenarios();

/// What becomes of a run when a rank throws, ends early or dies.
std::map<std::string, Scenario> failure_scenarios();

/// A GPU for each rank.
inline std::vector<Device> gpus_of_ranks(const Processes& processes) {
  std::vector<Device> gpus;
  for (int rank = 0; rank < processes.place().world_size; ++rank) {
    gpus.push_back({DeviceType::Cuda, rank});
  }
  return gpus;
}

/// Runs `body` on the run's ranks, which are on the CPU.
inline void run(Processes& processes, const std::function<void(Communicator&)>& body) {
  RunOptions options;
  options.devices.resize(processes.place().world_size);
  options.intra_op_threads = 1;
  processes.run_ranks(options, body);
}

/// The same on a GPU for each, over NCCL.
inline void run_on_gpus(Processes& processes, const std::function<void(Communicator&)>& body) {
  RunOptions options;
  options.devices = gpus_of_ranks(processes);
  options.intra_op_threads = 1;
  options.backend = CommunicatorBackend::Nccl;
  processes.run_ranks(options, body);
}

}  // namespace shardgrad::mpi_testing
