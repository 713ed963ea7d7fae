// Random fills: element i is a pure function of (seed, stream, first_element + i), so that a shard
// holds exactly its slice of the full tensor's draw.
#pragma once

#include "tensor/kernel.h"
#include "tensor/philox.h"

namespace shardgrad {
namespace cpu {

/// x[i] ~ Normal(mean, standard_deviation^2) for global elements first_element + i, by Box-Muller
/// in float64, rounded to x's dtype; a bfloat16 tensor holds the float32 tensor's elements,
/// rounded. Contiguous floating x. Bit-identical however the tensor is cut and however many threads
/// fill it.
///
/// Global element e takes two words of the stream, w0 = word 2 (e % 2) and w1 = word 2 (e % 2) + 1
/// of Philox block e / 2, and is
/// mean + standard_deviation sqrt(-2 ln((w0 + 1/2) / 2^32)) cos(2 pi w1 / 2^32).
void fill_normal(Tensor& x, const RandomStream& random, std::int64_t first_element, double mean,
                 double standard_deviation);

/// x[i] ~ Uniform[low, high), as above. Global element e takes one word of the stream,
/// w = word e % 4 of Philox block e / 4, and is low + (high - low) w / 2^32, rounded to x's dtype;
/// where that rounds up to `high`, the number just below it.
void fill_uniform(Tensor& x, const RandomStream& random, std::int64_t first_element, double low,
                  double high);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::fill_normal) fill_normal;
decltype(cpu::fill_uniform) fill_uniform;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::fill_normal) fill_normal;
[[gnu::weak]] decltype(cpu::fill_uniform) fill_uniform;
}  // namespace cuda

namespace kernels {
inline const Kernel fill_normal{"fill_normal", checks::fill_normal, cpu::fill_normal,
                                cuda::fill_normal};
inline const Kernel fill_uniform{"fill_uniform", checks::fill_uniform, cpu::fill_uniform,
                                 cuda::fill_uniform};
}  // namespace kernels
}  // namespace shardgrad
