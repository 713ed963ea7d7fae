// Copies from global to shared memory that no thread waits for until it has to (cp.async).
#pragma once

#include "tensor/cuda/device_math.cuh"
#ifndef __SIMT__
#include <cuda_pipeline.h>
#endif

namespace shardgrad::cuda {

/// Begins to copy sixteen bytes; both pointers are 16-byte aligned.
template <class T>
__device__ inline void copy_pack_async(T* to, const T* from) {
#ifdef __SIMT__
  store_pack(to, load_pack(from));
#else
  __pipeline_memcpy_async(to, from, sizeof(Pack<T>));
#endif
}

/// Waits for all that the calling thread has begun to copy. Other threads see it after a barrier.
__device__ inline void finish_async_copies() {
#ifndef __SIMT__
  __pipeline_commit();
  __pipeline_wait_prior(0);
#endif
}

}  // namespace shardgrad::cuda
