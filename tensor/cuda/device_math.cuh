// What the kernels share: element types, 16-byte accesses, and reductions over a warp or a block.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>  // the overloads for float

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace shardgrad::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

/// What sums of T are kept in: float for __nv_bfloat16, else T. See accumulation_dtype().
template <class T>
struct AccumulatorOf {
  using type = T;
};
template <>
struct AccumulatorOf<__nv_bfloat16> {
  using type = float;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float widen(float value) { return value; }
__device__ inline double widen(double value) { return value; }
__device__ inline std::int32_t widen(std::int32_t value) { return value; }

/// An accumulator rounded to T.
template <class T>
__device__ inline T narrow(Accumulator<T> value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16(value);
}

/// Calls `body(T{})` with T = float, double or __nv_bfloat16, whichever `dtype` names.
/// @throws Error naming `where` for any other dtype.
template <class Body>
void dispatch_element(DType dtype, const char* where, Body&& body) {
  if (dtype == DType::Float32) {
    body(float{});
  } else if (dtype == DType::Float64) {
    body(double{});
  } else if (dtype == DType::BFloat16) {
    body(__nv_bfloat16{});
  } else {
    fail(where, "dtype {} is not a floating type; expected float32, float64 or bfloat16",
         name_of(dtype));
  }
}

/// A tensor's elements as the device's type T; the caller has checked the dtype.
template <class T>
T* device_data(Tensor& tensor) {
  return static_cast<T*>(tensor.raw_data());
}
template <class T>
const T* device_data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.raw_data());
}

/// Sixteen bytes of T: one memory transaction of a thread.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T value[kSize];
};

/// Reads a pack; `source` is 16-byte aligned.
template <class T>
__device__ inline Pack<T> load_pack(const T* source) {
  Pack<T> pack;
  *reinterpret_cast<uint4*>(&pack) = *reinterpret_cast<const uint4*>(source);
  return pack;
}
template <class T>
__device__ inline void store_pack(T* destination, const Pack<T>& pack) {
  *reinterpret_cast<uint4*>(destination) = *reinterpret_cast<const uint4*>(&pack);
}

/// True when every pointer is 16-byte aligned and `columns` rows of T stay so: then a row may be
/// read in packs.
template <class T, class... Pointers>
bool fits_packs(std::int64_t columns, const Pointers*... pointers) {
  return columns % Pack<T>::kSize == 0 &&
         ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

/// The larger of two numbers; NaN when either is.
template <class T>
__device__ inline T max_or_nan(T a, T b) {
  return (b > a || b != b) ? b : a;
}

/// The sum over the warp, in every lane.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

/// The largest value of the warp (NaN when any is), in every lane.
template <class T>
__device__ inline T warp_max(T value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value = max_or_nan(value, __shfl_xor_sync(kAllLanes, value, offset));
  }
  return value;
}

/// The sum over a one-dimensional block of whole warps, in every thread. Every thread calls it;
/// `scratch` is 32 elements of shared memory, free again when it returns.
template <class T>
__device__ inline T block_sum(T value, T* scratch) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  value = warp_sum(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  value = warp_sum(lane < warps ? scratch[lane] : T(0));
  __syncthreads();
  return value;
}

/// The largest value of the block, likewise.
template <class T>
__device__ inline T block_max(T value, T* scratch) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  value = warp_max(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  value = warp_max(lane < warps ? scratch[lane] : scratch[0]);
  __syncthreads();
  return value;
}

}  // namespace shardgrad::cuda
