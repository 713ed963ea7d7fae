// What ranks do together in the tests with mpirun. A scenario throws Error when something is not as
// it should be.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "parallel/processes.h"

namespace shardgrad::mpi_testing {

using Scenario = std::function<void(Processes&)>;

/// Collectives, groups and threads: the same as over the thread communicator, bit for bit.
std::map<std::string, Scenario> communication_scenarios();

/// Calls that cannot be right.
std::map<std::string, Scenario> misuse_scenarios();

/// What becomes of a run when a rank throws, ends early or dies.
std::map<std::string, Scenario> failure_scenarios();

/// Runs `body` on the run's ranks, which are on the CPU.
inline void run(Processes& processes, const std::function<void(Communicator&)>& body) {
  RunOptions options;
  options.devices.resize(processes.place().world_size);
  options.intra_op_threads = 1;
  processes.run_ranks(options, body);
}

}  // namespace shardgrad::mpi_testing
