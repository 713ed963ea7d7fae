#include "tensor/kernels/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::awkward_matrices;
using kernel_testing::IntraOpThreads;
using reference::random_tensor;
using reference::to_matrix;
using ::testing::HasSubstr;

class ReduceTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, ReduceTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

double sum_of(const Tensor& x) {
  Tensor out = Tensor::empty({}, DType::Float64);
  kernels::sum(x, out);
  return out.item();
}

double sum_of_squares_of(const Tensor& x) {
  Tensor out = Tensor::empty({1}, DType::Float64);
  kernels::sum_of_squares(x, out);
  return out.item();
}

double max_abs_difference_of(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty({}, DType::Float64);
  kernels::max_abs_difference(a, b, out);
  return out.item();
}

// The accumulation is in float64 for every dtype, so the bounds are float64's.
TEST_P(ReduceTest, MatchesEigen) {
  for (const Shape& shape : awkward_matrices()) {
    const Tensor a = random_tensor(shape, dtype(), 1);
    const Tensor b = random_tensor(shape, dtype(), 2);
    const double magnitude = to_matrix(a).cwiseAbs().sum();
    EXPECT_NEAR(sum_of(a), to_matrix(a).sum(), 1e-13 * magnitude) << shape.to_string();
    EXPECT_NEAR(sum_of_squares_of(a) / to_matrix(a).squaredNorm(), 1.0, 1e-13);
    EXPECT_EQ(max_abs_difference_of(a, b), (to_matrix(a) - to_matrix(b)).cwiseAbs().maxCoeff());
  }
}

// Whole numbers add exactly, so any element that is skipped or counted twice shows.
TEST_P(ReduceTest, EveryElementCountsOnce) {
  for (std::int64_t count : {1, 31, 32, 33, 16383, 16384, 16385, 1 << 20, (17 << 20) + 5}) {
    EXPECT_EQ(sum_of(Tensor::full({count}, 3.0, dtype())), 3.0 * static_cast<double>(count));
    EXPECT_EQ(sum_of_squares_of(Tensor::full({count}, 3.0, dtype())),
              9.0 * static_cast<double>(count));
  }
}

TEST_P(ReduceTest, DoesNotDependOnTheNumberOfThreads) {
  const Tensor x = random_tensor({1 << 20}, dtype(), 3);
  const double sum = sum_of(x);
  const double squares = sum_of_squares_of(x);
  for (int threads : {1, 2, 3, 5}) {
    const IntraOpThreads scope(threads);
    EXPECT_EQ(sum_of(x), sum);
    EXPECT_EQ(sum_of_squares_of(x), squares);
  }
}

TEST_P(ReduceTest, FindsTheOneDifference) {
  const std::int64_t count = 100003;
  const Tensor a = random_tensor({count}, dtype(), 4);
  EXPECT_EQ(max_abs_difference_of(a, a), 0.0);
  for (std::int64_t place : {std::int64_t{0}, std::int64_t{50001}, count - 1}) {
    Tensor b = a.clone();
    b.slice(0, place, 1).fill(a.slice(0, place, 1).item() - 100.0);
    const double difference = a.slice(0, place, 1).item() - b.slice(0, place, 1).item();
    EXPECT_EQ(max_abs_difference_of(a, b), difference) << place;
  }
}

TEST_P(ReduceTest, NotFiniteElementsShow) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (std::int64_t count : {1, 100, 70001}) {
    for (std::int64_t place : {std::int64_t{0}, count / 2, count - 1}) {
      const Tensor good = Tensor::full({count}, 1.0, dtype());
      Tensor bad = good.clone();
      bad.slice(0, place, 1).fill(std::nan(""));
      EXPECT_TRUE(std::isnan(sum_of(bad)));
      EXPECT_TRUE(std::isnan(sum_of_squares_of(bad)));
      EXPECT_TRUE(std::isnan(max_abs_difference_of(good, bad)));
      EXPECT_TRUE(std::isnan(max_abs_difference_of(bad, good)));
      bad.slice(0, place, 1).fill(-infinity);
      EXPECT_EQ(sum_of(bad), -infinity);
      EXPECT_EQ(sum_of_squares_of(bad), infinity);
      EXPECT_EQ(max_abs_difference_of(good, bad), infinity);
    }
  }
}

TEST(Reduce, LargeFloat32ElementsDoNotOverflow) {
  const Tensor x = Tensor::full({1000}, 1e38);
  EXPECT_NEAR(sum_of(x) / 1e41, 1.0, 1e-6);
  EXPECT_NEAR(sum_of_squares_of(x) / 1e79, 1.0, 1e-6);
}

TEST_P(ReduceTest, NoElements) {
  const Tensor nothing = Tensor::zeros({0}, dtype());
  EXPECT_EQ(sum_of(nothing), 0.0);
  EXPECT_EQ(sum_of_squares_of(nothing), 0.0);
  EXPECT_EQ(max_abs_difference_of(nothing, nothing), 0.0);
}

TEST_P(ReduceTest, Errors) {
  const Tensor x = Tensor::zeros({2, 3}, dtype());
  Tensor narrow = Tensor::zeros({1}, DType::Float32);
  Tensor wide = Tensor::zeros({2}, DType::Float64);
  EXPECT_THAT(error_of([&] { kernels::sum(x, narrow); }), HasSubstr("one float64 element"));
  EXPECT_THAT(error_of([&] { kernels::sum_of_squares(x, wide); }), HasSubstr("shape [2]"));
  EXPECT_THAT(error_of([&] { sum_of(x.transpose(0, 1)); }), HasSubstr("[sum] x of shape [3, 2]"));
  EXPECT_THAT(error_of([&] { max_abs_difference_of(x, Tensor::zeros({6}, dtype())); }),
              HasSubstr("[max_abs_difference] b has shape [6]; expected [2, 3]"));
}

}  // namespace
}  // namespace shardgrad
