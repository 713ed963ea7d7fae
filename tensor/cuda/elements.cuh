// One pass over the elements of contiguous tensors.
#pragma once

#include "tensor/cuda/device_math.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/round_up.h"

namespace shardgrad::cuda {

inline constexpr int kElementThreads = 256;

/// Blocks of kElementThreads for `count` pieces of work; the threads stride over what is beyond.
inline unsigned element_blocks(std::int64_t count) {
  constexpr std::int64_t kMostBlocks = 4096;  // some waves of any GPU
  const std::int64_t blocks = parts_of(count, kElementThreads);
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

/// This thread's place among all of the grid's, and their number.
__device__ inline std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t all_threads() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

template <class T, class Operation, class... Packs>
__device__ inline Pack<T> apply_to_packs(const Operation& operation, std::int64_t first,
                                         const Packs&... packs) {
  Pack<T> result;
#pragma unroll
  for (int i = 0; i < Pack<T>::kSize; ++i) {
    result.value[i] = narrow<T>(operation(first + i, widen(packs.value[i])...));
  }
  return result;
}

// Tensors whose memory does not start at a multiple of 16 bytes are read element by element.
template <class T, class Operation, class... Inputs>
__global__ void map_kernel(std::int64_t count, bool packed, Operation operation, T* out,
                           const Inputs*... inputs) {
  constexpr std::int64_t kSize = Pack<T>::kSize;
  const std::int64_t packs = packed ? count / kSize : 0;
  for (std::int64_t p = global_thread(); p < packs; p += all_threads()) {
    store_pack(out + p * kSize,
               apply_to_packs<T>(operation, p * kSize, load_pack(inputs + p * kSize)...));
  }
  for (std::int64_t i = packs * kSize + global_thread(); i < count; i += all_threads()) {
    out[i] = narrow<T>(operation(i, widen(inputs[i])...));
  }
}

/// out[i] = operation(i, inputs[i]...) for i in [0, count), computed in T's accumulator and rounded
/// once. An input may be the output. `operation` is an object with a __device__ call operator.
template <class T, class Operation, class... Inputs>
void map_elements(const char* name, std::int64_t count, const Operation& operation, T* out,
                  const Inputs*... inputs) {
  const bool packed = fits_packs<T>(0, out, inputs...);
  const std::int64_t pieces = packed ? count / Pack<T>::kSize + 1 : count;
  if (count == 0) return;
  launch(name, element_blocks(pieces), kElementThreads, 0, map_kernel<T, Operation, Inputs...>,
         count, packed, operation, out, inputs...);
}

}  // namespace shardgrad::cuda
