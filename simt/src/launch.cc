// Launching: what CUDA checks before a kernel runs, and the distribution of its blocks.
#include "simt/launch.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "simt/src/block.h"
#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/forever.h"
#include "simt/src/host_pool.h"
#include "simt/src/launches.h"
#include "simt/src/memory.h"
#include "simt/src/stream.h"

namespace simt {
namespace {

constexpr uint64_t kMaxGridX = 2147483647;
constexpr uint64_t kMaxGridYZ = 65535;
constexpr uint64_t kMaxThreadsPerBlock = 1024;
constexpr unsigned kMaxBlockZ = 64;
constexpr int kDefaultSharedBytes = 48 << 10;
constexpr int kMostSharedBytes = 227 << 10;
// Fewer threads than this finish before a helper has woken up.
constexpr uint64_t kThreadsWorthHelp = 2048;
constexpr uint64_t kMostShuffledBlocks = uint64_t{1} << 24;

thread_local std::string next_kernel_name;
thread_local uint64_t launch_number = 0;

struct SharedLimits {
  std::mutex mutex;
  std::map<const void*, int> bytes;
};
SharedLimits& shared_limits() { return forever<SharedLimits>(); }

struct RecentLaunches {
  static constexpr size_t kNamed = 8;
  std::mutex mutex;
  std::vector<std::string> names;  // each once, the latest last
  std::atomic<bool> any{false};
};
RecentLaunches& recent() { return forever<RecentLaunches>(); }

/// What set_next_kernel_name() said, or the parameter list out of `signature`.
std::string take_kernel_name(const char* signature) {
  std::string name;
  name.swap(next_kernel_name);
  if (!name.empty()) return name;
  const std::string text = signature;
  const size_t begin = text.find("Parameters = ");
  if (begin == std::string::npos) return "(unnamed)";
  const size_t end = text.find_first_of("};>", begin);
  return "(unnamed, of parameters " + text.substr(begin + 13, end - begin - 13) + ")";
}

std::string shape_text(dim3 shape) {
  return "(" + std::to_string(shape.x) + ", " + std::to_string(shape.y) + ", " +
         std::to_string(shape.z) + ")";
}

/// Errors of the launch itself, which CUDA returns at once and which do not stick.
cudaError_t check_configuration(const LaunchRequest& request, const std::string& name) {
  const dim3 grid = request.config.gridDim, block = request.config.blockDim;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreadsPerBlock || block.z > kMaxBlockZ) {
    return misuse(cudaErrorInvalidConfiguration,
                  "kernel %s: a block of %s threads; it must have 1 to 1024, at most 64 along z",
                  name.c_str(), shape_text(block).c_str());
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > kMaxGridX || grid.y > kMaxGridYZ ||
      grid.z > kMaxGridYZ) {
    return misuse(cudaErrorInvalidConfiguration,
                  "kernel %s: a grid of %s blocks; it must have at least 1 along each axis, and at "
                  "most 2147483647, 65535 and 65535",
                  name.c_str(), shape_text(grid).c_str());
  }
  const int limit = dynamic_shared_limit(request.kernel);
  if (request.config.dynamicSmemBytes > static_cast<size_t>(limit)) {
    return misuse(cudaErrorInvalidValue,
                  "kernel %s: %zu bytes of dynamic shared memory, %d are allowed (up to %d after "
                  "cudaFuncSetAttribute of cudaFuncAttributeMaxDynamicSharedMemorySize)",
                  name.c_str(), request.config.dynamicSmemBytes, limit, kMostSharedBytes);
  }
  return check_stream(request.config.stream, ("kernel " + name).c_str());
}

/// Arguments that the kernel could not dereference.
void check_pointers(const LaunchRequest& request, const std::string& name) {
  for (const PointerArgument& argument : request.pointers) {
    if (argument.pointer == nullptr) continue;
    const Allocation allocation = find_allocation(argument.pointer, 0);
    if (allocation.start == nullptr) {
      if (is_pinned(argument.pointer)) continue;
      fail_with(cudaErrorIllegalAddress, "kernel %s: argument %d (%p) is %s", name.c_str(),
                argument.index, argument.pointer,
                in_device_arena(argument.pointer)
                    ? "in device memory that is not allocated (freed already?)"
                    : "not in device memory: a host pointer?");
    } else if (!can_access(current_device(), allocation.device)) {
      fail_with(cudaErrorIllegalAddress,
                "kernel %s: argument %d (%p) is in memory of device %d, the kernel runs on device "
                "%d, which has no peer access",
                name.c_str(), argument.index, argument.pointer, allocation.device,
                current_device());
    }
  }
}

uint64_t mix(uint64_t seed, uint64_t launch, uint64_t block) {
  return seed * 0x9E3779B97F4A7C15ull ^ (block + 1) * 0xBF58476D1CE4E5B9ull ^
         (launch + 1) * 0x94D049BB133111EBull;
}

/// Runs the blocks, each on whichever host thread is free.
void run_kernel(const LaunchRequest& request, const std::string& name, uint64_t number) {
  const dim3 grid = request.config.gridDim, block = request.config.blockDim;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const uint64_t threads = blocks * block.x * block.y * block.z;
  const uint64_t seed = config().seed;
  const Policy policy = policy_of(seed);
  std::vector<uint32_t> order;
  if (policy != Policy::InOrder && blocks <= kMostShuffledBlocks) {
    Random random;
    random.seed(mix(seed, number, blocks));
    order = permutation(static_cast<uint32_t>(blocks), random);
  }
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  const int device = current_device();
  const std::function<void()> work = [&] {
    const DeviceScope scope(device);
    BlockEngine& engine = BlockEngine::of_this_thread();
    engine.begin_launch(request.body, name, grid, block, request.config.dynamicSmemBytes, policy);
    for (uint64_t i; !failed && (i = next++) < blocks;) {
      const uint64_t index = order.empty() ? i : order[i];
      const uint3 place = {static_cast<unsigned>(index % grid.x),
                           static_cast<unsigned>(index / grid.x % grid.y),
                           static_cast<unsigned>(index / grid.x / grid.y)};
      if (!engine.run_block(place, mix(seed, number, index))) failed = true;
    }
  };
  const OpenMemory open;
  note_launch(name);
  const uint64_t helpers = std::min<uint64_t>(static_cast<uint64_t>(host_threads()), blocks) - 1;
  run_with_helpers(threads < kThreadsWorthHelp ? 0 : static_cast<int>(helpers), work);
  if (config().check_each_launch) check_memory_after_launches();
}

}  // namespace

cudaError_t launch(LaunchRequest request) {
  const std::string name = take_kernel_name(request.signature);
  if (const cudaError_t sticky = sticky_error(current_device())) return record(sticky);
  if (const cudaError_t error = check_configuration(request, name)) return error;
  check_pointers(request, name);
  const uint64_t number = launch_number++;
  const cudaStream_t stream = request.config.stream;
  const auto shared = std::make_shared<LaunchRequest>(std::move(request));
  enqueue(stream, [shared, name, number] { run_kernel(*shared, name, number); });
  return record(sticky_error(current_device()));
}

void set_next_kernel_name(const char* name) { next_kernel_name = name; }

void set_seed(uint64_t seed) {
  config().seed = seed;
  launch_number = 0;
}

cudaError_t set_dynamic_shared_limit(const void* kernel, int bytes) {
  if (bytes < 0 || bytes > kMostSharedBytes) {
    return misuse(cudaErrorInvalidValue,
                  "cudaFuncSetAttribute: %d bytes of dynamic shared memory, the most is %d", bytes,
                  kMostSharedBytes);
  }
  SharedLimits& limits = shared_limits();
  const std::lock_guard<std::mutex> lock(limits.mutex);
  limits.bytes[kernel] = bytes;
  return cudaSuccess;
}

int dynamic_shared_limit(const void* kernel) {
  SharedLimits& limits = shared_limits();
  const std::lock_guard<std::mutex> lock(limits.mutex);
  const auto found = limits.bytes.find(kernel);
  return found == limits.bytes.end() ? kDefaultSharedBytes
                                     : std::max(kDefaultSharedBytes, found->second);
}

// --- Which kernels have run since the last check
// -----------------------------------------------------

void note_launch(const std::string& kernel_name) {
  RecentLaunches& launches = recent();
  const std::lock_guard<std::mutex> lock(launches.mutex);
  launches.any = true;
  std::vector<std::string>& names = launches.names;
  names.erase(std::remove(names.begin(), names.end(), kernel_name), names.end());
  names.push_back(kernel_name);
  if (names.size() > RecentLaunches::kNamed) names.erase(names.begin());
}

std::string launched_kernels() {
  RecentLaunches& launches = recent();
  const std::lock_guard<std::mutex> lock(launches.mutex);
  const std::vector<std::string>& names = launches.names;
  if (names.empty()) return "a copy or memset ";
  if (names.size() == 1) return "kernel " + names[0] + " ";
  std::string text =
      names.size() == RecentLaunches::kNamed ? "one of the latest kernels " : "one of the kernels ";
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return text + " ";
}

void check_memory_after_launches() {
  RecentLaunches& launches = recent();
  if (!launches.any.exchange(false)) return;
  check_all_red_zones(launched_kernels());
  const std::lock_guard<std::mutex> lock(launches.mutex);
  launches.names.clear();
}

}  // namespace simt
