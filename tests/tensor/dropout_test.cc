#include "tensor/kernels/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::awkward_matrices;
using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::HasSubstr;

class DropoutTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, DropoutTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

// The mask by its definition, one word at a time: 0 or 1 / (1 - probability).
Matrix mask_matrix(const DropoutMask& mask, const Shape& shape) {
  Matrix matrix(shape[0], shape[1]);
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const auto element = static_cast<std::uint64_t>(mask.first_element + i);
    const double word = philox_word(mask.random, element);
    matrix.data()[i] =
        word < std::floor(mask.probability * 4294967296.0) ? 0.0 : 1.0 / (1.0 - mask.probability);
  }
  return matrix;
}

TEST_P(DropoutTest, FollowsTheMaskOfItsGlobalElements) {
  for (const Shape& shape : awkward_matrices()) {
    for (std::int64_t first : {0, 1, 2, 3, 1000003}) {
      const DropoutMask mask{0.3, {11, 22}, first};
      const Tensor x = random_tensor(shape, dtype(), 1);
      Tensor out = Tensor::empty_like(x);
      kernels::dropout(x, mask, out);
      EXPECT_LT(relative_difference(out, to_matrix(x).cwiseProduct(mask_matrix(mask, shape))),
                tolerance())
          << shape.to_string() << " from " << first;
      Tensor in_place = x.clone();
      kernels::dropout(in_place, mask, in_place);
      EXPECT_TRUE(bitwise_equal(in_place, out));
    }
  }
}

TEST_P(DropoutTest, AddsTheResidual) {
  for (const Shape& shape : awkward_matrices()) {
    const DropoutMask mask{0.3, {11, 22}, 5};
    const Tensor x = random_tensor(shape, dtype(), 1);
    const Tensor residual = random_tensor(shape, dtype(), 2);
    const Matrix expected =
        to_matrix(residual) + to_matrix(x).cwiseProduct(mask_matrix(mask, shape));
    Tensor out = Tensor::empty_like(x);
    kernels::dropout_add(x, residual, mask, out);
    EXPECT_LT(relative_difference(out, expected), tolerance()) << shape.to_string();
    Tensor into_x = x.clone();
    kernels::dropout_add(into_x, residual, mask, into_x);
    EXPECT_TRUE(bitwise_equal(into_x, out));
    Tensor into_residual = residual.clone();
    kernels::dropout_add(x, into_residual, mask, into_residual);
    EXPECT_TRUE(bitwise_equal(into_residual, out));
  }
}

TEST_P(DropoutTest, AShardDrawsItsSliceOfTheWhole) {
  const std::int64_t count = 90001;
  const std::int64_t global_first = 6;
  const Tensor x = random_tensor({count}, dtype(), 1);
  const Tensor residual = random_tensor({count}, dtype(), 2);
  const RandomStream stream{3, 4};
  Tensor whole = Tensor::empty_like(x);
  Tensor whole_sum = Tensor::empty_like(x);
  kernels::dropout(x, {0.1, stream, global_first}, whole);
  kernels::dropout_add(x, residual, {0.1, stream, global_first}, whole_sum);
  for (std::int64_t first : {0, 1, 2, 3, 4, 251, 45001, 89000}) {
    for (std::int64_t length : {1, 2, 5, 257, 1000}) {
      const DropoutMask mask{0.1, stream, global_first + first};
      Tensor part = Tensor::empty({length}, dtype());
      kernels::dropout(x.slice(0, first, length), mask, part);
      ASSERT_TRUE(bitwise_equal(part, whole.slice(0, first, length))) << first;
      kernels::dropout_add(x.slice(0, first, length), residual.slice(0, first, length), mask, part);
      ASSERT_TRUE(bitwise_equal(part, whole_sum.slice(0, first, length))) << first;
    }
  }
  for (int threads : {1, 2, 3}) {
    const IntraOpThreads scope(threads);
    Tensor again = Tensor::empty_like(x);
    kernels::dropout(x, {0.1, stream, global_first}, again);
    EXPECT_TRUE(bitwise_equal(again, whole));
  }
}

TEST_P(DropoutTest, KeepRateIsWithinFiveSigma) {
  const std::int64_t count = 1 << 20;
  const Tensor ones = Tensor::full({count, 1}, 1.0, dtype());
  for (double probability : {0.1, 0.5, 0.9}) {
    Tensor out = Tensor::empty_like(ones);
    kernels::dropout(ones, {probability, {7, 8}, 0}, out);
    const double kept = static_cast<double>((to_matrix(out).array() != 0.0).count());
    const double sigma = std::sqrt(probability * (1.0 - probability) * count);
    EXPECT_NEAR(kept, (1.0 - probability) * count, 5.0 * sigma) << probability;
  }
}

TEST_P(DropoutTest, StreamsDiffer) {
  const Tensor ones = Tensor::full({10000}, 1.0, dtype());
  Tensor first = Tensor::empty_like(ones);
  kernels::dropout(ones, {0.5, {1, 1}, 0}, first);
  for (const RandomStream& other : {RandomStream{1, 2}, RandomStream{2, 1}}) {
    Tensor second = Tensor::empty_like(ones);
    kernels::dropout(ones, {0.5, other, 0}, second);
    const double same =
        static_cast<double>((to_matrix(first).array() == to_matrix(second).array()).count());
    EXPECT_NEAR(same, 5000.0, 5.0 * 50.0);
  }
}

TEST_P(DropoutTest, ProbabilityZeroKeepsEverything) {
  const Tensor x = random_tensor({100}, dtype(), 1);
  const Tensor residual = random_tensor({100}, dtype(), 2);
  Tensor out = Tensor::empty_like(x);
  kernels::dropout(x, DropoutMask{}, out);
  EXPECT_TRUE(bitwise_equal(out, x));
  kernels::dropout(out, DropoutMask{}, out);
  EXPECT_TRUE(bitwise_equal(out, x));
  kernels::dropout_add(x, residual, DropoutMask{}, out);
  EXPECT_LT(relative_difference(out, to_matrix(x) + to_matrix(residual)), tolerance());
}

TEST_P(DropoutTest, Errors) {
  const Tensor x = Tensor::zeros({4}, dtype());
  Tensor out = Tensor::zeros({4}, dtype());
  EXPECT_EQ(error_of([&] {
              kernels::dropout(x, {1.0, {}, 0}, out);
            }),
            "[dropout] probability is 1; expected at least 0 and less than 1");
  EXPECT_THAT(error_of([&] {
                kernels::dropout_add(x, x, {std::nan(""), {}, 0}, out);
              }),
              HasSubstr("[dropout_add] probability is nan"));
  EXPECT_THAT(error_of([&] {
                kernels::dropout(x, {0.5, {}, -1}, out);
              }),
              HasSubstr("first_element is -1"));
  EXPECT_THAT(error_of([&] {
                kernels::dropout_add(x, Tensor::zeros({5}, dtype()), {0.0, {}, 0}, out);
              }),
              HasSubstr("residual has shape [5]; expected [4]"));
}

}  // namespace
}  // namespace shardgrad
