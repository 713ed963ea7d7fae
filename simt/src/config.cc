#include <cstdlib>

#include "simt/simt.h"
#include "simt/src/device.h"
#include "simt/src/forever.h"

namespace simt {
namespace {

double number_from_environment(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::atof(text) : otherwise;
}

bool flag_from_environment(const char* name) { return number_from_environment(name, 0) != 0; }

/// As mpirun and srun tell.
bool one_of_several_processes() {
  for (const char* count : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (number_from_environment(count, 1) > 1) return true;
  }
  return false;
}

Config config_from_environment() {
  Config config;
  config.seed = static_cast<uint64_t>(number_from_environment("SIMT_SEED", 0));
  config.threads = static_cast<int>(number_from_environment("SIMT_THREADS", 0));
  config.deferred = flag_from_environment("SIMT_DEFERRED");
  config.protect = flag_from_environment("SIMT_PROTECT");
  config.check_each_launch = flag_from_environment("SIMT_CHECK_EACH_LAUNCH");
  config.shuffles_order_memory = flag_from_environment("SIMT_SHUFFLES_ORDER");
  config.abort_on_error = flag_from_environment("SIMT_ABORT");
  const char* const skipped = std::getenv("SIMT_SKIP_BARRIER");
  if (skipped != nullptr) config.skip_barrier = skipped;
  const int devices = static_cast<int>(number_from_environment("SIMT_DEVICES", config.devices));
  config.devices = devices < 0 ? 0 : devices > kMaxDevices ? kMaxDevices : devices;
  config.device_memory =
      static_cast<size_t>(number_from_environment("SIMT_DEVICE_MEMORY_MB", 16384)) << 20;
  config.processes =
      number_from_environment("SIMT_PROCESSES", one_of_several_processes() ? 1 : 0) != 0;
  config.timeout_seconds = number_from_environment("SIMT_TIMEOUT", config.timeout_seconds);
  return config;
}

}  // namespace

Config& config() {
  struct Environment {
    Config config = config_from_environment();
  };
  return forever<Environment>().config;
}

namespace {
// Read before there is a second thread.
[[maybe_unused]] const Config& at_start = config();
}  // namespace

}  // namespace simt
