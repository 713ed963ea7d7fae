// Which cores of its node a rank gets.
#pragma once

#include <mpi.h>

#include "parallel/launch_environment.h"

namespace shardgrad::mpi {

/// Whether Open MPI's mpirun has bound this process to cores without being told to.
bool bound_by_default(const EnvironmentLookup& lookup);

/// Undoes mpirun's default, which leaves a rank one core where two ranks or fewer are on a node:
/// this process may then run wherever the one that has started it may. Any other binding is the
/// user's or Slurm's, and stays. To be called before there are other threads.
void undo_default_binding();

/// This rank's share of the cores that it may run on, at least one: ranks of `node` that may run on
/// the same cores divide them.
int share_of_cores(MPI_Comm node);

}  // namespace shardgrad::mpi
