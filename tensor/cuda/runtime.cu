#include <algorithm>
#include <cstring>

#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/pinned_staging.cuh"
#include "tensor/cuda/runtime.h"

namespace shardgrad::cuda {
namespace {

// For calls outside of a kernel family, whose failures are Errors at once.
void require_success(cudaError_t result, const char* what) {
  require(
      result == cudaSuccess, "cuda",
      "{}: {} ({}). A kernel that failed earlier may be the cause; with CUDA_LAUNCH_BLOCKING=1 in "
      "the environment the message names it",
      what, cudaGetErrorString(result), cudaGetErrorName(result));
}

}  // namespace

std::string unavailable_reason() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) return "";
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return "there is no NVIDIA driver";
  }
  if (result == cudaSuccess || result == cudaErrorNoDevice) {
    return fmt::format("the NVIDIA driver (CUDA {}.{}) finds no device", driver / 1000,
                       driver % 1000 / 10);
  }
  return fmt::format("{} ({}; the driver's CUDA version is {}.{})", cudaGetErrorString(result),
                     cudaGetErrorName(result), driver / 1000, driver % 1000 / 10);
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string device_name(int index) {
  cudaDeviceProp properties;
  require_success(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return properties.name;
}

void use_device(int index) {
  thread_local int current = -1;  // of the thread, as CUDA's own current device is
  if (index == current) return;
  require_success(cudaSetDevice(index), "cudaSetDevice");
  current = index;
}

void* allocate(std::size_t bytes) {
  void* block = nullptr;
  const cudaError_t result = cudaMalloc(&block, bytes);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is reported by the allocator
    return nullptr;
  }
  require_success(result, "cudaMalloc");
  return block;
}

void deallocate(void* block) noexcept { cudaFree(block); }

MemoryInfo memory_info() {
  MemoryInfo info{};
  require_success(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "cudaMemGetInfo");
  return info;
}

void copy_to_device(void* destination, const void* source, std::size_t bytes) {
  thread_local PinnedStaging staging;  // of the thread, as its stream is
  try {
    staging.copy_to_device(destination, source, bytes);
  } catch (const Failure& failure) {
    fail("cuda", "copying {} bytes to the device: {}", bytes, failure.text);
  }
}

void copy_to_host(void* destination, const void* source, std::size_t bytes) {
  require_success(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToHost, stream()),
                  "copying to the host");
  synchronize();
}

void copy_on_device(void* destination, const void* source, std::size_t bytes) {
  require_success(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream()),
                  "copying on the device");
}

void synchronize() { require_success(cudaStreamSynchronize(stream()), "waiting for the device"); }

}  // namespace shardgrad::cuda
