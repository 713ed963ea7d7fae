// Launching a kernel: the only place that knows how, on a GPU and under simt.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "tensor/cuda/runtime.h"
#include "tensor/error.h"
#include "tensor/round_up.h"
#include "tensor/tensor.h"

namespace shardgrad::cuda {

/// The stream of the calling host thread, which is a rank.
inline cudaStream_t stream() { return cudaStreamPerThread; }

/// @throws Failure with CUDA's words and `what` was being done, unless `result` is success.
inline void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  throw Failure{
      fmt::format("{}: {} ({})", what, cudaGetErrorString(result), cudaGetErrorName(result))};
}

/// The blocks of `threads` that `count` items need.
inline unsigned blocks_for(std::int64_t count, std::int64_t threads) {
  return static_cast<unsigned>(parts_of(count, threads));
}

/// Runs kernel(arguments...) on `grid` blocks of `block` threads with `shared_bytes` of dynamic
/// shared memory, in the calling thread's stream. `name` is what errors and simt call the kernel.
/// An empty grid does nothing. @throws Failure.
template <class... Parameters, class... Arguments>
void launch(const char* name, dim3 grid, dim3 block, std::size_t shared_bytes,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  if (shared_bytes > kSharedWithoutAsking) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          name);
  }
#ifdef __SIMT__
  simt::set_next_kernel_name(name);
#endif
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream();
  const cudaError_t result = cudaLaunchKernelEx(
      &config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  if (result == cudaSuccess) return;
  throw Failure{fmt::format("kernel {} (grid {} x {} x {}, block {} x {} x {}, {} B shared): {}",
                            name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes,
                            cudaGetErrorString(result))};
}

/// The block's dynamic shared memory.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef __SIMT__
  return reinterpret_cast<T*>(simt::dyn_shared());
#else
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
#endif
}

}  // namespace shardgrad::cuda
