#include <limits>

#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/copy.h"
#include "tensor/kernels/strided_loop.h"

namespace shardgrad::cuda {
namespace {

template <class To, class From>
struct Convert {
  __device__ static To of(From value) {
    if constexpr (std::is_same_v<To, From>) {
      return value;
    } else if constexpr (std::is_same_v<To, std::int32_t>) {
      const double number = static_cast<double>(widen(value));
      constexpr double kLowest = -2147483648.0;
      constexpr double kHighest = 2147483647.0;
      if (number != number) return 0;
      return static_cast<To>(number < kLowest ? kLowest : (number > kHighest ? kHighest : number));
    } else if constexpr (std::is_same_v<From, std::int32_t>) {
      return narrow<To>(static_cast<Accumulator<To>>(value));
    } else {
      return narrow<To>(static_cast<Accumulator<To>>(widen(value)));
    }
  }
};

template <class To, class From>
__global__ void copy_kernel(std::int64_t count, StridedLoop loop, const From* source,
                            To* destination) {
  for (std::int64_t i = global_thread(); i < count; i += all_threads()) {
    std::int64_t rest = i, from = 0, to = 0;
    for (int dim = loop.rank - 1; dim >= 0; --dim) {
      const std::int64_t step = dim > 0 ? rest % loop.extents[dim] : rest;
      rest /= loop.extents[dim];
      from += step * loop.source[dim];
      to += step * loop.destination[dim];
    }
    destination[to] = Convert<To, From>::of(source[from]);
  }
}

template <class T>
__global__ void fill_kernel(std::int64_t count, StridedLoop loop, T value, T* destination) {
  for (std::int64_t i = global_thread(); i < count; i += all_threads()) {
    std::int64_t rest = i, to = 0;
    for (int dim = loop.rank - 1; dim >= 0; --dim) {
      const std::int64_t step = dim > 0 ? rest % loop.extents[dim] : rest;
      rest /= loop.extents[dim];
      to += step * loop.destination[dim];
    }
    destination[to] = value;
  }
}

// Calls body(T{}) with the device's type of `dtype`.
template <class Body>
void dispatch_any(DType dtype, const char* where, Body&& body) {
  if (dtype == DType::Int32) {
    body(std::int32_t{});
  } else {
    dispatch_element(dtype, where, body);
  }
}

// A number as the CPU converts it, so that both devices fill with the same bits.
template <class T>
T host_value(double value) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    constexpr double kLowest = std::numeric_limits<std::int32_t>::min();
    constexpr double kHighest = std::numeric_limits<std::int32_t>::max();
    if (value != value) return 0;
    return static_cast<T>(value < kLowest ? kLowest : (value > kHighest ? kHighest : value));
  } else {
    return static_cast<T>(value);
  }
}

}  // namespace

void copy(const Tensor& source, Tensor& destination) {
  const std::int64_t count = source.numel();
  if (count == 0) return;
  if (source.shares_storage_with(destination)) {  // read everything before the first write
    Tensor dense = Tensor::empty_like(source);
    copy(source, dense);
    copy(dense, destination);
    return;
  }
  if (source.dtype() == destination.dtype() && source.is_contiguous() &&
      destination.is_contiguous()) {
    const std::size_t bytes = static_cast<std::size_t>(count) * size_of(source.dtype());
    check(cudaMemcpyAsync(destination.raw_data(), source.raw_data(), bytes,
                          cudaMemcpyDeviceToDevice, stream()),
          "copy");
    return;
  }
  const StridedLoop loop = plan_loop(source.shape(), source.strides(), destination.strides());
  dispatch_any(source.dtype(), "copy", [&](auto from) {
    using From = decltype(from);
    dispatch_any(destination.dtype(), "copy", [&](auto to) {
      using To = decltype(to);
      launch("copy", element_blocks(count), kElementThreads, 0, copy_kernel<To, From>, count, loop,
             device_data<From>(source), device_data<To>(destination));
    });
  });
}

void fill(Tensor& x, double value) {
  const std::int64_t count = x.numel();
  if (count == 0) return;
  const StridedLoop loop = plan_loop(x.shape(), x.strides(), x.strides());
  dispatch_any(x.dtype(), "fill", [&](auto type) {
    using T = decltype(type);
    launch("fill", element_blocks(count), kElementThreads, 0, fill_kernel<T>, count, loop,
           host_value<T>(value), device_data<T>(x));
  });
}

}  // namespace shardgrad::cuda
