// Dropout masks on the device: the bits of the CPU's.
#pragma once

#include "tensor/cuda/device_math.cuh"
#include "tensor/kernels/dropout.h"
#include "tensor/philox.h"

namespace shardgrad::cuda {

/// A DropoutMask as kernels take it. `A` is what the elements are multiplied in.
template <class A>
struct DeviceMask {
  RandomStream random;
  std::int64_t first_element;
  std::uint32_t threshold;  // 0: keeps everything
  A scale;

  explicit DeviceMask(const DropoutMask& mask)
      : random(mask.random),
        first_element(mask.first_element),
        threshold(mask.threshold()),
        scale(static_cast<A>(mask.scale())) {}

  /// Whether element `i` of the tensor is kept.
  __device__ bool keeps(std::int64_t i) const {
    return philox_word(random, static_cast<std::uint64_t>(first_element + i)) >= threshold;
  }

  /// The same for elements i, i + 1, ... i + N - 1, a bit each: four words at a time where they
  /// start one Philox block.
  template <int N>
  __device__ unsigned keeps_bits(std::int64_t i) const {
    const std::uint64_t element = static_cast<std::uint64_t>(first_element + i);
    unsigned bits = 0;
    if (N % 4 == 0 && element % 4 == 0) {
#pragma unroll
      for (int block = 0; block < N / 4; ++block) {
        const PhiloxWords words = philox4x32(random, element / 4 + block);
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          bits |= static_cast<unsigned>(words.word[w] >= threshold) << (4 * block + w);
        }
      }
    } else {
#pragma unroll
      for (int n = 0; n < N; ++n) bits |= static_cast<unsigned>(keeps(i + n)) << n;
    }
    return bits;
  }
};

/// residual + dropout(x), for one element.
template <class A>
__device__ inline A add_kept(bool kept, A x, A scale, A residual) {
  return kept ? fma(x, scale, residual) : residual;
}

}  // namespace shardgrad::cuda
