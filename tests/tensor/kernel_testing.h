// What the kernels' tests share: the floating types, their tolerances and thread counts.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/parallel_for.h"
#include "tensor/shape.h"
#include "tests/support/error_of.h"

namespace shardgrad::kernel_testing {

/// A test that runs in every floating dtype: write TEST_P(Name, ...) and, once,
/// INSTANTIATE_TEST_SUITE_P(Dtypes, Name, floating_dtypes(), dtype_name).
class FloatingTest : public ::testing::TestWithParam<DType> {
 protected:
  static DType dtype() { return GetParam(); }
  /// The dtype of the kernels' sums.
  static DType accumulator() { return accumulation_dtype(dtype()); }
  /// Bound on ||result - reference|| / ||reference||; in bfloat16 that of one rounding, 2^-8, which
  /// drowns those of the float32 arithmetic before it.
  static double tolerance() { return dtype() == DType::BFloat16 ? 0.00391 : sum_tolerance(); }
  /// The same for results in the accumulation dtype.
  static double sum_tolerance() { return dtype() == DType::Float64 ? 1e-12 : 1e-6; }
};

inline auto floating_dtypes() {
  return ::testing::Values(DType::Float32, DType::Float64, DType::BFloat16);
}

/// The dtypes that sums are kept in.
inline auto accumulation_dtypes() { return ::testing::Values(DType::Float32, DType::Float64); }

inline std::string dtype_name(const ::testing::TestParamInfo<DType>& info) {
  return name_of(info.param);
}

/// One element, one row, one column, odd sizes, and a size that is worth several threads.
inline std::vector<Shape> awkward_matrices() {
  return {{1, 1}, {1, 48}, {37, 1}, {37, 48}, {257, 1000}};
}

/// Sets the number of threads for its lifetime.
class IntraOpThreads {
 public:
  explicit IntraOpThreads(int threads) : before_(intra_op_threads()) {
    set_intra_op_threads(threads);
  }
  ~IntraOpThreads() { set_intra_op_threads(before_); }
  IntraOpThreads(const IntraOpThreads&) = delete;
  IntraOpThreads& operator=(const IntraOpThreads&) = delete;

 private:
  int before_;
};

}  // namespace shardgrad::kernel_testing
