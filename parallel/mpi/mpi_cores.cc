#include "parallel/mpi/mpi_cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "parallel/mpi/mpi_error.h"

namespace shardgrad::mpi {

bool bound_by_default(const EnvironmentLookup& lookup) {
  if (lookup("OMPI_MCA_orte_bound_at_launch") == nullptr) return false;
  // mpirun's options arrive as these: --bind-to, --cpus-per-proc, --rankfile, --cpu-set.
  for (const char* asked : {"OMPI_MCA_hwloc_base_binding_policy",
                            "OMPI_MCA_rmaps_base_cpus_per_rank", "OMPI_MCA_rmaps_rank_file_path",
                            "OMPI_MCA_orte_rankfile", "OMPI_MCA_hwloc_base_cpu_list"}) {
    if (lookup(asked) != nullptr) return false;
  }
  // --map-by slot:pe=4 asks for four cores each, --map-by node for nothing.
  const char* mapping = lookup("OMPI_MCA_rmaps_base_mapping_policy");
  if (mapping == nullptr) return true;
  std::string lower(mapping);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return lower.find("pe=") == std::string::npos;
}

void undo_default_binding() {
  if (!bound_by_default([](const char* name) -> const char* { return std::getenv(name); })) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(getppid(), sizeof(cores), &cores) == 0) {
    sched_setaffinity(0, sizeof(cores), &cores);
  }
}

int share_of_cores(MPI_Comm node) {
  cpu_set_t own;
  CPU_ZERO(&own);
  if (sched_getaffinity(0, sizeof(own), &own) != 0) return 1;
  int ranks = 1;
  check(MPI_Comm_size(node, &ranks), "mpi");
  std::vector<cpu_set_t> all(ranks);
  check(MPI_Allgather(&own, sizeof(own), MPI_BYTE, all.data(), sizeof(own), MPI_BYTE, node), "mpi");
  const auto sharing = std::count_if(
      all.begin(), all.end(), [&](const cpu_set_t& cores) { return CPU_EQUAL(&cores, &own) != 0; });
  return std::max(1, CPU_COUNT(&own) / static_cast<int>(sharing));
}

}  // namespace shardgrad::mpi
