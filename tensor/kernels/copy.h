// Copying, converting and filling.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {
namespace cpu {

/// destination = source, element by element, converting the dtype; any strides, equal shapes. The
/// two may overlap in memory. A floating value becomes an int32 by rounding toward zero, limited to
/// the int32 range, and 0 for a NaN.
void copy(const Tensor& source, Tensor& destination);

/// Every element of x = value, converted as above; any strides.
void fill(Tensor& x, double value);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::copy) copy;
decltype(cpu::fill) fill;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::copy) copy;
[[gnu::weak]] decltype(cpu::fill) fill;
}  // namespace cuda

namespace kernels {
inline const Kernel copy{"copy", checks::copy, cpu::copy, cuda::copy};
inline const Kernel fill{"fill", checks::fill, cpu::fill, cuda::fill};
}  // namespace kernels
}  // namespace shardgrad
