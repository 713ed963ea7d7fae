// What the rest of shardgrad needs of the CUDA runtime, without its types.
//
// Every function is weak: a program that is linked without the CUDA backend has none of them (see
// cuda_linked()). A rank is a host thread: work goes to the stream of the calling thread, in order,
// and nothing here waits for the device unless it says so.
#pragma once

#include <cstddef>
#include <string>

namespace shardgrad::cuda {

/// Thrown inside a CUDA kernel family when a call fails; the dispatch turns it into an Error that
/// names the kernel and its tensors' shapes.
struct Failure {
  std::string text;
};

/// What kept CUDA from being used ("no driver: ..."), or "" when there is at least one device.
[[gnu::weak]] std::string unavailable_reason();

/// Number of devices; 0 when there is none or no driver.
[[gnu::weak]] int device_count();

/// "NVIDIA H100 80GB HBM3".
[[gnu::weak]] std::string device_name(int index);

/// Makes `index` the calling thread's device, for what follows. Cheap when it is already.
[[gnu::weak]] void use_device(int index);

/// Device memory of the thread's device; null when it has none left. @throws Error otherwise.
[[gnu::weak]] void* allocate(std::size_t bytes);
[[gnu::weak]] void deallocate(void* block) noexcept;

/// Free and total bytes of the thread's device.
struct MemoryInfo {
  std::size_t free_bytes;
  std::size_t total_bytes;
};
[[gnu::weak]] MemoryInfo memory_info();

/// Queues a copy of host memory to the device and returns when `source` may be reused: the bytes
/// are staged in pinned memory, so neither the host nor the device waits for the other.
[[gnu::weak]] void copy_to_device(void* destination, const void* source, std::size_t bytes);

/// Waits for the thread's stream, then copies.
[[gnu::weak]] void copy_to_host(void* destination, const void* source, std::size_t bytes);

/// Queues a copy between buffers of one device, or of two that can reach each other.
[[gnu::weak]] void copy_on_device(void* destination, const void* source, std::size_t bytes);

/// Waits until all work of the thread's stream is done. @throws Error with the first failure.
[[gnu::weak]] void synchronize();

/// True when this program was linked with CUDA kernels.
inline bool cuda_linked() { return device_count != nullptr; }

}  // namespace shardgrad::cuda
