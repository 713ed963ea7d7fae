// cudaLaunchKernelEx, and what else takes a kernel as an argument.
#pragma once

#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "simt/runtime_api.h"
#include "simt/simt.h"

namespace simt {

struct PointerArgument {
  const void* pointer;
  int index;  // among the kernel's parameters, from 0
};

/// One launch, without the types of its arguments.
struct LaunchRequest {
  cudaLaunchConfig_t config;
  const void* kernel;     // its address: the key of cudaFuncSetAttribute's limit
  const char* signature;  // names the kernel when set_next_kernel_name() was not called
  std::vector<PointerArgument> pointers;
  std::function<void()> body;  // the kernel as run by each CUDA thread
};
cudaError_t launch(LaunchRequest request);

template <class T>
void note_pointer(const T& argument, int index, std::vector<PointerArgument>& pointers) {
  if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) {
    pointers.push_back({argument, index});
  }
}

}  // namespace simt

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "wrong number of kernel arguments");
  std::tuple<std::decay_t<Parameters>...> copies(
      static_cast<std::decay_t<Parameters>>(std::forward<Arguments>(arguments))...);
  simt::LaunchRequest request{
      *config, reinterpret_cast<const void*>(kernel), __PRETTY_FUNCTION__, {}, {}};
  int index = 0;
  std::apply([&](auto&... copy) { (simt::note_pointer(copy, index++, request.pointers), ...); },
             copies);
  request.body = [copies, kernel] { std::apply(kernel, copies); };
  return simt::launch(std::move(request));
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  return simt::set_dynamic_shared_limit(reinterpret_cast<const void*>(kernel), value);
}

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel* kernel) {
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes =
      simt::dynamic_shared_limit(reinterpret_cast<const void*>(kernel));
  return cudaSuccess;
}

/// Registers are not modelled: the threads and the shared memory alone decide.
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int block_size,
                                                          size_t dynamic_shared) {
  if (block_size <= 0 || block_size > 1024) return cudaErrorInvalidValue;
  const size_t by_memory = (size_t{228} << 10) / (dynamic_shared + 1024);
  const size_t by_threads = 2048 / static_cast<size_t>(block_size);
  const size_t most = by_threads < by_memory ? by_threads : by_memory;
  *blocks = static_cast<int>(most < 32 ? most : 32);
  return cudaSuccess;
}

/// `symbol` is a __constant__ or __device__ variable, here an ordinary one.
template <class T>
cudaError_t cudaMemcpyToSymbol(T& symbol, const void* from, size_t bytes, size_t offset = 0) {
  if (offset + bytes > sizeof symbol) return cudaErrorInvalidValue;
  std::memcpy(reinterpret_cast<char*>(&symbol) + offset, from, bytes);
  return cudaSuccess;
}
