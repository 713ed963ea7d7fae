// How this process was started, as its environment tells.
#pragma once

#include <functional>
#include <string>

namespace shardgrad {

/// Who has started this process as one of several that belong together.
struct LaunchEnvironment {
  std::string launcher;  ///< "mpirun" or the like; "" for a process that was started by itself
  int rank = 0;
  int size = 0;  ///< how many there are; 0 where the environment does not tell
};

/// Gives the value of a variable, or null when it is not set.
using EnvironmentLookup = std::function<const char*(const char*)>;

/// Looks for the variables of Open MPI's mpirun, of PMIx and PMI (srun --mpi=pmix, and the mpirun
/// of others), and of Slurm's srun. A shell that Slurm has started for a job (sbatch, salloc) has
/// some of them, too, and is not taken for a rank.
LaunchEnvironment launch_environment(const EnvironmentLookup& lookup);

/// The same for this process's own environment.
LaunchEnvironment launch_environment();

}  // namespace shardgrad
