// What the tests of the CUDA twins share: the same inputs on both devices, and how close the
// results must be.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tensor/allocator.h"
#include "tensor/tensor.h"
#include "tests/support/reference.h"

namespace shardgrad::cuda_testing {

inline const Device kGpu{DeviceType::Cuda, 0};

/// A test that runs in every floating dtype. Buffers go to the device at their exact sizes, so that
/// what surrounds them is guarded (see CachingAllocator::set_pass_through).
class CudaTest : public ::testing::TestWithParam<DType> {
 protected:
  CudaTest() { allocator_for(kGpu).set_pass_through(true); }

  static DType dtype() { return GetParam(); }
  static DType accumulator() { return accumulation_dtype(dtype()); }
  /// The dtype in which the CPU computes what the device is compared with: from bfloat16 inputs it
  /// is what the device has to come to before its one rounding.
  static DType reference_dtype() { return accumulator(); }
  /// Bound on ||result - reference|| / ||reference|| of tensors of the test's dtype: some
  /// roundings, of which the one to bfloat16 dwarfs the others.
  static double tolerance() {
    return dtype() == DType::Float64 ? 1e-13 : dtype() == DType::Float32 ? 1e-6 : 4e-3;
  }
  /// The same for tensors of the accumulation dtype.
  static double accumulator_tolerance() { return dtype() == DType::Float64 ? 1e-13 : 1e-6; }
};

inline auto all_dtypes() {
  return ::testing::Values(DType::Float32, DType::Float64, DType::BFloat16);
}

inline std::string dtype_name(const ::testing::TestParamInfo<DType>& info) {
  return name_of(info.param);
}

/// One input on both devices: `host` holds, in the reference dtype, exactly the numbers that
/// `device` holds in the test's.
struct Input {
  Input(const Tensor& values, DType dtype)
      : device(values.to(dtype).to(kGpu)),
        host(values.to(dtype).to(is_floating(dtype) ? accumulation_dtype(dtype) : dtype)) {}

  Tensor device;
  Tensor host;
};

/// Normal(0, scale^2) elements.
inline Input random_input(const Shape& shape, DType dtype, std::uint64_t seed, double scale = 1.0) {
  return Input(reference::random_tensor(shape, DType::Float64, seed, scale), dtype);
}

/// Uninitialised, on the device.
inline Tensor device_output(const Shape& shape, DType dtype) {
  return Tensor::empty(shape, dtype, kGpu);
}

/// ||device - host|| / ||host||.
inline double difference(const Tensor& device, const Tensor& host) {
  return reference::relative_difference(device.to(Device{}).to(DType::Float64),
                                        host.to(DType::Float64));
}

/// Whether `device` holds the bits of `host`, rounded to the dtype of `device`.
inline bool same_bits(const Tensor& device, const Tensor& host) {
  return reference::bitwise_equal(device.to(Device{}), host.to(device.dtype()));
}

}  // namespace shardgrad::cuda_testing
