// Gradients of dropout and dropout_add: the mask of the backward pass is that of the forward pass.
#include "autograd/functions/dropout.h"

#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/gelu.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::Matrix;
using reference::relative_difference;

const DropoutMask kMask{0.3, {5, 11}, 1234567};

// The mask drawn element by element.
Matrix factors(std::int64_t rows, std::int64_t columns, const DropoutMask& mask) {
  Matrix matrix(rows, columns);
  for (std::int64_t i = 0; i < matrix.size(); ++i) {
    const auto element = static_cast<std::uint64_t>(mask.first_element + i);
    const double uniform = philox_word(mask.random, element) / 4294967296.0;
    matrix.data()[i] = uniform < mask.probability ? 0.0 : 1.0 / (1.0 - mask.probability);
  }
  return matrix;
}

TEST(DropoutTest, ValuesAndGradientsShareOneMask) {
  const Matrix expected = factors(37, 48, kMask);
  EXPECT_GT((expected.array() == 0.0).count(), 37 * 48 / 5);
  Variable x(Tensor::full({37, 48}, 1.0, DType::Float64), true);
  const Variable y = dropout(x, kMask);
  EXPECT_LT(relative_difference(y.value(), expected), 1e-15);
  backward(sum(y));
  EXPECT_LT(relative_difference(x.gradient(), expected), 1e-15);
}

TEST(DropoutTest, Gradients) {
  for (const Shape& shape : {Shape{5}, Shape{37, 48}}) {
    expect_gradients_match([](const Inputs& in) { return dropout(in[0], kMask); },
                           {random64(shape, 1)});
  }
  // One value through two different masks.
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable x = gelu(in[0]);
        return add(dropout(x, kMask), dropout(x, {0.5, {6, 12}, 0}));
      },
      {random64({37, 5}, 1)});
}

TEST(DropoutTest, NothingToDrop) {
  const Variable x(random64({3, 5}, 1), true);
  EXPECT_EQ(dropout(x, {}).value().raw_data(), x.value().raw_data());
  expect_gradients_match([](const Inputs& in) { return gelu(dropout(in[0], {})); },
                         {random64({3, 5}, 1)});
}

TEST(DropoutTest, DropoutAdd) {
  for (double probability : {0.0, 0.3}) {
    const DropoutMask mask{probability, {5, 11}, 77};
    const Tensor x = random64({37, 48}, 1), residual = random64({37, 48}, 2);
    const Variable y = dropout_add(Variable(x), Variable(residual), mask);
    EXPECT_LT(relative_difference(
                  y.value(), Matrix(reference::to_matrix(residual) +
                                    reference::to_matrix(x).cwiseProduct(factors(37, 48, mask)))),
              1e-15);
    expect_gradients_match([&](const Inputs& in) { return dropout_add(in[0], in[1], mask); },
                           {x, residual});
    // In place of a value that was moved in, and into a residual stream that goes on.
    expect_gradients_match(
        [&](const Inputs& in) {
          const Variable stream = gelu(in[1]);
          const Variable next = dropout_add(gelu(in[0]), stream, mask);
          return dropout_add(gelu(next), next, {0.5, {1, 2}, 0});
        },
        {random64({7, 5}, 3), random64({7, 5}, 4)});
    // A value that is its own residual.
    expect_gradients_match(
        [&](const Inputs& in) {
          const Variable y = gelu(in[0]);
          return dropout_add(y, y, mask);
        },
        {random64({7, 5}, 5)});
  }
}

TEST(DropoutTest, PartsThatNeedNoGradient) {
  for (double probability : {0.0, 0.3}) {
    const DropoutMask mask{probability, {5, 11}, 77};
    Variable x(random64({7, 5}, 1), true), residual(random64({7, 5}, 2));
    backward(sum(dropout_add(x, residual, mask)));
    EXPECT_LT(relative_difference(x.gradient(), factors(7, 5, mask)), 1e-15);
    Variable constant(random64({7, 5}, 1)), stream(random64({7, 5}, 2), true);
    backward(sum(dropout_add(constant, stream, mask)));
    EXPECT_EQ(relative_difference(stream.gradient(), Matrix::Ones(7, 5)), 0.0);
  }
}

}  // namespace
}  // namespace shardgrad
