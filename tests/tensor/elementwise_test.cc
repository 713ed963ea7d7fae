#include "tensor/kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

class ElementwiseTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, ElementwiseTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

TEST_P(ElementwiseTest, Add) {
  for (const Shape& shape : awkward_matrices()) {
    const Tensor a = random_tensor(shape, dtype(), 1);
    const Tensor b = random_tensor(shape, dtype(), 2);
    const Matrix expected = to_matrix(a) + to_matrix(b);
    Tensor out = Tensor::empty_like(a);
    kernels::add(a, b, out);
    EXPECT_LT(relative_difference(out, expected), tolerance()) << shape.to_string();
    Tensor into_a = a.clone();
    kernels::add(into_a, b, into_a);
    EXPECT_TRUE(bitwise_equal(into_a, out));
    Tensor into_b = b.clone();
    kernels::add(a, into_b, into_b);
    EXPECT_TRUE(bitwise_equal(into_b, out));
  }
}

TEST_P(ElementwiseTest, SquareRoot) {
  for (const Shape& shape : awkward_matrices()) {
    Tensor x = random_tensor(shape, dtype(), 1);
    kernels::multiply(x, x, x);
    const Matrix expected = to_matrix(x).cwiseSqrt();
    kernels::square_root(x, x);
    EXPECT_LT(relative_difference(x, expected), tolerance()) << shape.to_string();
  }
}

TEST_P(ElementwiseTest, RejectAboveTakesOnlyNumbersUpToTheLimit) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> numbers{-infinity, -3.0, 0.5, 0.75, infinity, nan};
  const Tensor x = Tensor::from(numbers, {6}).to(dtype());
  const auto rejected = [&](double limit) {
    Tensor out = Tensor::full({6}, 7.0, dtype());
    kernels::reject_above(x, limit, out);
    std::vector<bool> result;
    for (const double value : out.to(DType::Float64).to_vector<double>()) {
      EXPECT_TRUE(value == 7.0 || std::isnan(value)) << value;
      result.push_back(std::isnan(value));
    }
    return result;
  };
  EXPECT_EQ(rejected(0.5), (std::vector<bool>{false, false, false, true, true, true}));
  EXPECT_EQ(rejected(infinity), (std::vector<bool>{false, false, false, false, false, true}));
}

TEST_P(ElementwiseTest, Multiply) {
  for (const Shape& shape : awkward_matrices()) {
    const Tensor a = random_tensor(shape, dtype(), 1);
    const Tensor b = random_tensor(shape, dtype(), 2);
    const Matrix expected = to_matrix(a).cwiseProduct(to_matrix(b));
    Tensor out = Tensor::empty_like(a);
    kernels::multiply(a, b, out);
    EXPECT_LT(relative_difference(out, expected), tolerance()) << shape.to_string();
    Tensor square = a.clone();
    kernels::multiply(square, square, square);
    EXPECT_LT(relative_difference(square, to_matrix(a).array().square().matrix()), tolerance());
  }
}

TEST_P(ElementwiseTest, Scale) {
  for (const Shape& shape : awkward_matrices()) {
    const Tensor x = random_tensor(shape, dtype(), 1);
    Tensor out = Tensor::empty_like(x);
    kernels::scale(x, -0.3, out);
    EXPECT_LT(relative_difference(out, -0.3 * to_matrix(x)), tolerance()) << shape.to_string();
    Tensor in_place = x.clone();
    kernels::scale(in_place, -0.3, in_place);
    EXPECT_TRUE(bitwise_equal(in_place, out));
  }
}

TEST_P(ElementwiseTest, AddBias) {
  for (const Shape& shape : awkward_matrices()) {
    const Tensor x = random_tensor(shape, dtype(), 1);
    const Tensor bias = random_tensor({shape[1]}, dtype(), 2);
    const Matrix expected = to_matrix(x).rowwise() + to_matrix(bias).row(0);
    Tensor out = Tensor::empty_like(x);
    kernels::add_bias(x, bias, out);
    EXPECT_LT(relative_difference(out, expected), tolerance()) << shape.to_string();
    Tensor in_place = x.clone();
    kernels::add_bias(in_place, bias, in_place);
    EXPECT_TRUE(bitwise_equal(in_place, out));
  }
}

TEST_P(ElementwiseTest, SumRows) {
  for (const Shape& shape : awkward_matrices()) {
    const Tensor x = random_tensor(shape, dtype(), 1);
    const Tensor before = random_tensor({shape[1]}, dtype(), 2);
    const Matrix expected = to_matrix(x).colwise().sum();
    Tensor out = Tensor::full({shape[1]}, 1e30, dtype());
    kernels::sum_rows(x, out, /*accumulate=*/false);
    EXPECT_LT(relative_difference(out, expected), tolerance()) << shape.to_string();
    Tensor accumulated = before.clone();
    kernels::sum_rows(x, accumulated, /*accumulate=*/true);
    EXPECT_LT(relative_difference(accumulated, expected + to_matrix(before)), tolerance());
    Tensor wide = before.to(accumulator()).clone();
    kernels::sum_rows(x, wide, /*accumulate=*/true);
    EXPECT_LT(relative_difference(wide, expected + to_matrix(before)), sum_tolerance());
  }
}

// A sum of many nearly equal numbers, where additions in float32 would lose three digits.
TEST_P(ElementwiseTest, SumOfManyRowsStaysAccurate) {
  const std::int64_t rows = 100000;
  const Tensor x = Tensor::full({rows, 3}, 0.1, dtype());
  Tensor out = Tensor::empty({3}, accumulator());
  kernels::sum_rows(x, out, false);
  const Matrix expected = Matrix::Constant(1, 3, rows * to_matrix(x)(0, 0));
  EXPECT_LT(relative_difference(out, expected), 1e-7);
}

TEST_P(ElementwiseTest, SumRowsDependsOnNeitherThreadsNorColumnShards) {
  const Tensor x = random_tensor({300, 1000}, dtype(), 3);
  Tensor whole = Tensor::empty({1000}, dtype());
  kernels::sum_rows(x, whole, false);
  for (int threads : {1, 2, 3}) {
    const IntraOpThreads scope(threads);
    Tensor again = Tensor::empty({1000}, dtype());
    kernels::sum_rows(x, again, false);
    EXPECT_TRUE(bitwise_equal(again, whole)) << threads;
  }
  for (std::int64_t first : {0, 249, 333}) {
    Tensor part = Tensor::empty({250}, dtype());
    kernels::sum_rows(x.slice(1, first, 250).contiguous(), part, false);
    EXPECT_TRUE(bitwise_equal(part, whole.slice(0, first, 250))) << first;
  }
}

TEST_P(ElementwiseTest, NoElements) {
  const Tensor x = Tensor::zeros({0, 5}, dtype());
  Tensor out = Tensor::full({5}, 3.0, dtype());
  kernels::sum_rows(x, out, true);
  EXPECT_EQ(out.slice(0, 4, 1).item(), 3.0);
  kernels::sum_rows(x, out, false);
  EXPECT_EQ(out.slice(0, 4, 1).item(), 0.0);
}

TEST_P(ElementwiseTest, Errors) {
  const Tensor a = Tensor::zeros({2, 3}, dtype());
  Tensor out = Tensor::zeros({2, 3}, dtype());
  EXPECT_EQ(error_of([&] {
              kernels::add(a, Tensor::zeros({3, 2}, dtype()), out);
            }),
            "[add] b has shape [3, 2]; expected [2, 3]");
  EXPECT_THAT(error_of([&] { kernels::multiply(a, a.to(DType::Int32), out); }),
              HasSubstr("[multiply] b holds int32; expected " + std::string(name_of(dtype()))));
  EXPECT_THAT(error_of([&] { kernels::scale(Tensor(), 2.0, out); }),
              HasSubstr("[scale] x is undefined"));
  EXPECT_THAT(error_of([&] { kernels::add_bias(a, Tensor::zeros({2}, dtype()), out); }),
              HasSubstr("[add_bias] bias has shape [2]; expected [3]"));
  Tensor transposed = Tensor::zeros({3, 2}, dtype()).transpose(0, 1);
  EXPECT_THAT(error_of([&] { kernels::add(a, a, transposed); }), HasSubstr("is not contiguous"));
  Tensor ids = Tensor::zeros({2, 3}, DType::Int32);
  EXPECT_THAT(error_of([&] { kernels::add(ids, ids, ids); }),
              HasSubstr("[add] dtype int32 is not a floating type"));
}

}  // namespace
}  // namespace shardgrad
