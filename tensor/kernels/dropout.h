// Inverted dropout whose mask is a pure function of (seed, stream, global element), so that every
// rank draws its own slice of one global mask and a recomputed forward pass draws the same one.
// Source: Srivastava et al., JMLR 15 (2014).
#pragma once

#include "tensor/kernel.h"
#include "tensor/philox.h"

namespace shardgrad {

/// One dropout site at one step.
struct DropoutMask {
  double probability = 0.0;        ///< of zeroing an element; 0 keeps everything
  RandomStream random;             ///< stream = (site, step)
  std::int64_t first_element = 0;  ///< global index of the tensor's first element

  /// An element is kept when its random word is at least this.
  std::uint32_t threshold() const { return static_cast<std::uint32_t>(probability * 4294967296.0); }
  /// Factor of the kept elements, so that the expectation is unchanged.
  double scale() const { return 1.0 / (1.0 - probability); }
};

namespace cpu {

/// out[i] = x[i] * scale if kept else 0, the mask's element being first_element + i. Contiguous;
/// out may be x. Also the backward pass (with dy for x).
void dropout(const Tensor& x, const DropoutMask& mask, Tensor& out);

/// out = residual + dropout(x): the end of every residual branch, in one pass. Contiguous, equal
/// shapes; out may be x or residual.
void dropout_add(const Tensor& x, const Tensor& residual, const DropoutMask& mask, Tensor& out);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::dropout) dropout;
decltype(cpu::dropout_add) dropout_add;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::dropout) dropout;
[[gnu::weak]] decltype(cpu::dropout_add) dropout_add;
}  // namespace cuda

namespace kernels {
inline const Kernel dropout{"dropout", checks::dropout, cpu::dropout, cuda::dropout};
inline const Kernel dropout_add{"dropout_add", checks::dropout_add, cpu::dropout_add,
                                cuda::dropout_add};
}  // namespace kernels
}  // namespace shardgrad
