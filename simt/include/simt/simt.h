// simt executes CUDA sources on the CPU. This header is what host code and tests may ask of it
// beyond CUDA's own interface; under simt, <cuda_runtime.h> includes it. See simt/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#define __SIMT__ 1

namespace simt {

/// How kernels are run. Each field starts from the environment variable named beside it, and may be
/// changed by a test between launches.
struct Config {
  uint64_t seed = 0;      ///< SIMT_SEED: 0 runs in order, others pick a random schedule
  int threads = 0;        ///< SIMT_THREADS: host threads a launch may use, 0 = all cores
  bool deferred = false;  ///< SIMT_DEFERRED: stream work runs late, in a random legal order
  bool protect = false;   ///< SIMT_PROTECT: host code cannot touch device memory
  bool check_each_launch = false;  ///< SIMT_CHECK_EACH_LAUNCH: every red zone after every launch
  bool shuffles_order_memory = false;  ///< SIMT_SHUFFLES_ORDER: to ThreadSanitizer; not in CUDA
  bool abort_on_error = false;         ///< SIMT_ABORT: abort() at the first error, for a debugger
  std::string skip_barrier;            ///< SIMT_SKIP_BARRIER: FILE:LINE of a barrier to leave out
  int devices = 2;                     ///< SIMT_DEVICES: how many devices there seem to be
  size_t device_memory = 0;            ///< SIMT_DEVICE_MEMORY_MB: bytes of each device
  bool processes = false;              ///< SIMT_PROCESSES: NCCL's ranks may be other processes
  double timeout_seconds = 60;         ///< SIMT_TIMEOUT: how long a wait for other ranks may last
};
Config& config();

/// Changes the schedule and starts its random numbers afresh: what the calling host thread launches
/// next is scheduled exactly as it was after an earlier call with the same seed.
void set_seed(uint64_t seed);

/// Names the next kernel that the calling host thread launches, for all messages about it. The one
/// wrapper round cudaLaunchKernelEx calls it.
void set_next_kernel_name(const char* name);

/// Reports an error: to stderr, and as a sticky error of the current device (CUDA calls that follow
/// return cudaErrorLaunchFailure). Inside a kernel it ends the launch and does not return.
[[gnu::cold, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

int error_count();           ///< errors reported since the start or clear_errors()
std::string last_message();  ///< the latest message, empty if there was none
void clear_errors();         ///< forgets all errors, the sticky ones too

/// Whether the `bytes` from `pointer` lie within one live device allocation.
bool is_device_pointer(const void* pointer, size_t bytes);

/// Fibers switched to on the calling host thread so far: the cost of what was launched.
uint64_t switch_count();

}  // namespace simt
