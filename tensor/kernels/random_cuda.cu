#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/random.h"

namespace shardgrad::cuda {
namespace {

constexpr double kTwoPi = 6.28318530717958647693;
constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;

// A bfloat16 is the float32 draw, rounded.
template <class T>
__device__ T rounded(double value) {
  return narrow<T>(static_cast<Accumulator<T>>(value));
}

template <class T>
__global__ void fill_normal_kernel(std::int64_t count, RandomStream random,
                                   std::int64_t first_element, double mean,
                                   double standard_deviation, T* x) {
  for (std::int64_t i = global_thread(); i < count; i += all_threads()) {
    const std::uint64_t element = static_cast<std::uint64_t>(first_element + i);
    const PhiloxWords drawn = philox4x32(random, element / 2);
    const bool odd = element % 2 != 0;
    const std::uint32_t radius_word = odd ? drawn.word[2] : drawn.word[0];
    const std::uint32_t angle_word = odd ? drawn.word[3] : drawn.word[1];
    const double radius = sqrt(-2.0 * log((radius_word + 0.5) * kTwoToMinus32));
    const double deviate = radius * cos(kTwoPi * (angle_word * kTwoToMinus32));
    x[i] = rounded<T>(fma(standard_deviation, deviate, mean));
  }
}

template <class T>
__global__ void fill_uniform_kernel(std::int64_t count, RandomStream random,
                                    std::int64_t first_element, double low, double width, T limit,
                                    T just_below, T* x) {
  for (std::int64_t i = global_thread(); i < count; i += all_threads()) {
    const std::uint32_t word = philox_word(random, static_cast<std::uint64_t>(first_element + i));
    const T value = rounded<T>(fma(width, static_cast<double>(word), low));
    x[i] = widen(value) < widen(limit) ? value : just_below;
  }
}

// The number before `limit` in the direction of `low`, which is not above it.
template <class T>
T number_below(T limit, T low) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    if (__bfloat162float(limit) <= __bfloat162float(low)) return limit;
    unsigned short bits = __bfloat16_as_ushort(limit);
    if ((bits & 0x7fffu) == 0) {
      bits = 0x8001u;  // below zero is the smallest negative number
    } else {
      bits = static_cast<unsigned short>((bits & 0x8000u) != 0 ? bits + 1 : bits - 1);
    }
    return __ushort_as_bfloat16(bits);
  } else {
    return std::nextafter(limit, low);
  }
}

template <class T>
T host_value(double value) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

}  // namespace

void fill_normal(Tensor& x, const RandomStream& random, std::int64_t first_element, double mean,
                 double standard_deviation) {
  dispatch_element(x.dtype(), "fill_normal", [&](auto type) {
    using T = decltype(type);
    launch("fill_normal", element_blocks(x.numel()), kElementThreads, 0, fill_normal_kernel<T>,
           x.numel(), random, first_element, mean, standard_deviation, device_data<T>(x));
  });
}

void fill_uniform(Tensor& x, const RandomStream& random, std::int64_t first_element, double low,
                  double high) {
  dispatch_element(x.dtype(), "fill_uniform", [&](auto type) {
    using T = decltype(type);
    const T limit = host_value<T>(high);
    launch("fill_uniform", element_blocks(x.numel()), kElementThreads, 0, fill_uniform_kernel<T>,
           x.numel(), random, first_element, low, (high - low) * kTwoToMinus32, limit,
           number_below(limit, host_value<T>(low)), device_data<T>(x));
  });
}

}  // namespace shardgrad::cuda
