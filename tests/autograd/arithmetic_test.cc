// Gradients of add, scale, sum, add_bias and reshape, and their values against Eigen.
#include "autograd/functions/arithmetic.h"

#include <gtest/gtest.h>

#include "autograd/functions/gelu.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::Matrix;
using reference::relative_difference;
using reference::to_matrix;

const Shape kShapes[] = {{1, 1}, {1, 7}, {37, 1}, {37, 48}};

TEST(ArithmeticTest, Values) {
  const Variable a(random64({37, 48}, 1)), b(random64({37, 48}, 2)), bias(random64({48}, 3));
  const Matrix x = to_matrix(a.value()), y = to_matrix(b.value());
  EXPECT_LT(relative_difference(add(a, b).value(), Matrix(x + y)), 1e-15);
  EXPECT_LT(relative_difference(scale(a, -2.5).value(), Matrix(-2.5 * x)), 1e-15);
  EXPECT_NEAR(sum(a).value().item(), x.sum(), 1e-12);
  EXPECT_EQ(sum(a).shape(), Shape{1});
  EXPECT_LT(relative_difference(add_bias(a, bias).value(),
                                Matrix(x.rowwise() + to_matrix(bias.value()).row(0))),
            1e-15);
  const Variable folded = reshape(a, {3, -1, 16});
  EXPECT_EQ(folded.shape(), (Shape{3, 37, 16}));
  EXPECT_EQ(folded.value().to_vector<double>(), a.value().to_vector<double>());
}

TEST(ArithmeticTest, Add) {
  for (const Shape& shape : kShapes) {
    expect_gradients_match([](const Inputs& in) { return add(in[0], in[1]); },
                           {random64(shape, 1), random64(shape, 2)});
  }
}

TEST(ArithmeticTest, AddOfAValueToItself) {
  expect_gradients_match([](const Inputs& in) { return add(in[0], in[0]); }, {random64({5, 3}, 1)});
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable y = gelu(in[0]);
        return add(y, y);
      },
      {random64({5, 3}, 1)});
}

TEST(ArithmeticTest, Scale) {
  for (const Shape& shape : kShapes) {
    expect_gradients_match([](const Inputs& in) { return scale(scale(in[0], -2.5), 3.0); },
                           {random64(shape, 1)});
  }
}

TEST(ArithmeticTest, Sum) {
  for (const Shape& shape : kShapes) {
    // Of a nonlinear value, so that each element's gradient is its own.
    expect_gradients_match([](const Inputs& in) { return sum(gelu(in[0])); }, {random64(shape, 1)});
  }
}

// A float32 value sums to float64, and its gradient comes back in float32.
TEST(ArithmeticTest, SumOfFloat32) {
  Variable x(reference::random_tensor({37, 48}, DType::Float32, 1), true);
  const Variable total = sum(scale(x, 3.0));
  EXPECT_EQ(total.value().dtype(), DType::Float64);
  backward(total);
  EXPECT_EQ(x.gradient().dtype(), DType::Float32);
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(37, 48, 3.0)), 0.0);
}

TEST(ArithmeticTest, FirstColumns) {
  for (std::int64_t count : {1, 5, 48}) {
    const Tensor x = random64({37, 48}, 1);
    EXPECT_EQ(relative_difference(first_columns(Variable(x), count).value(),
                                  Matrix(to_matrix(x).leftCols(count))),
              0.0);
    expect_gradients_match([count](const Inputs& in) { return first_columns(in[0], count); }, {x});
  }
  EXPECT_THROW(first_columns(Variable(random64({2, 3}, 1)), 4), Error);
}

TEST(ArithmeticTest, AddBias) {
  for (const Shape& shape : kShapes) {
    expect_gradients_match([](const Inputs& in) { return add_bias(in[0], in[1]); },
                           {random64(shape, 1), random64({shape[1]}, 2)});
    // In place of a value that was moved in.
    expect_gradients_match([](const Inputs& in) { return add_bias(scale(in[0], 2.0), in[1]); },
                           {random64(shape, 1), random64({shape[1]}, 2)});
  }
}

TEST(ArithmeticTest, OneBiasTwice) {
  expect_gradients_match(
      [](const Inputs& in) { return add_bias(gelu(add_bias(in[0], in[1])), in[1]); },
      {random64({37, 5}, 1), random64({5}, 2)});
}

TEST(ArithmeticTest, Reshape) {
  expect_gradients_match(
      [](const Inputs& in) {
        return add_bias(reshape(in[0], {-1, 6}), in[1]);
      },
      {random64({4, 9}, 1), random64({6}, 2)});
  // The value under two shapes at once: their gradients meet again.
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable y = gelu(in[0]);
        return add(reshape(gelu(y), {36}), reshape(scale(reshape(y, {2, 18}), 3.0), {36}));
      },
      {random64({4, 9}, 1)});
}

}  // namespace
}  // namespace shardgrad
