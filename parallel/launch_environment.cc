#include "parallel/launch_environment.h"

#include <cstdlib>

namespace shardgrad {

LaunchEnvironment launch_environment(const EnvironmentLookup& lookup) {
  const auto text = [&](const char* name) -> std::string {
    const char* value = lookup(name);
    return value == nullptr ? "" : value;
  };
  const auto number = [&](const char* name) { return std::atoi(text(name).c_str()); };
  const auto is_set = [&](const char* name) { return !text(name).empty(); };

  if (is_set("OMPI_COMM_WORLD_SIZE")) {
    return {"mpirun", number("OMPI_COMM_WORLD_RANK"), number("OMPI_COMM_WORLD_SIZE")};
  }
  // Slurm numbers the steps of a job from 0, but for a few with names, of which two are shells.
  const std::string step = text("SLURM_STEP_ID");
  const bool in_step = !step.empty() && step != "4294967290" && step != "4294967291";
  const bool in_slurm = is_set("SLURM_JOB_ID");
  if (in_slurm && !in_step) return {};
  const int tasks = in_step ? number("SLURM_STEP_NUM_TASKS") : 0;
  if (is_set("PMIX_RANK")) {
    return {in_step ? "srun" : "a PMIx launcher", number("PMIX_RANK"), tasks};
  }
  if (is_set("PMI_RANK")) {
    return {in_step ? "srun" : "a PMI launcher", number("PMI_RANK"), number("PMI_SIZE")};
  }
  // No MPI has been asked of srun. One task needs none.
  if (tasks > 1) return {"srun", number("SLURM_PROCID"), tasks};
  return {};
}

LaunchEnvironment launch_environment() {
  return launch_environment([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace shardgrad
