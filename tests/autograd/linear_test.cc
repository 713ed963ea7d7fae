// Gradients of linear, and its values against Eigen.
#include "autograd/functions/linear.h"

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
using reference::to_matrix;

struct Sizes {
  std::int64_t m, n, k;
};
const Sizes kSizes[] = {{1, 1, 1}, {1, 7, 5}, {37, 1, 4}, {37, 48, 19}};

TEST(LinearTest, Values) {
  for (const auto& [m, n, k] : kSizes) {
    const Variable x(random64({m, k}, 1)), weight(random64({n, k}, 2)), bias(random64({n}, 3));
    const Matrix product = to_matrix(x.value()) * to_matrix(weight.value()).transpose();
    EXPECT_LT(relative_difference(linear(x, weight).value(), product), 1e-13);
    EXPECT_LT(relative_difference(linear(x, weight, bias).value(),
                                  Matrix(product.rowwise() + to_matrix(bias.value()).row(0))),
              1e-13);
  }
}

TEST(LinearTest, Gradients) {
  for (const auto& [m, n, k] : kSizes) {
    const Tensor x = random64({m, k}, 1), weight = random64({n, k}, 2), bias = random64({n}, 3);
    expect_gradients_match([](const Inputs& in) { return linear(in[0], in[1]); }, {x, weight});
    expect_gradients_match([](const Inputs& in) { return linear(in[0], in[1], in[2]); },
                           {x, weight, bias});
  }
}

// Gradients that are added to what is there: a weight used twice, an input used twice, and a matrix
// that is input and weight at once.
TEST(LinearTest, SharedOperands) {
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable hidden = gelu(linear(in[0], in[1], in[2]));
        return linear(hidden, in[1], in[2]);
      },
      {random64({7, 5}, 1), random64({5, 5}, 2), random64({5}, 3)});
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable x = gelu(in[0]);
        return add(linear(x, in[1]), linear(x, in[2]));
      },
      {random64({7, 5}, 1), random64({3, 5}, 2), random64({3, 5}, 3)});
  expect_gradients_match([](const Inputs& in) { return linear(in[0], in[0]); },
                         {random64({6, 5}, 1)});
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable x = gelu(in[0]);
        return add(linear(x, x), linear(x, x));
      },
      {random64({6, 5}, 1)});
}

// Only what needs a gradient gets one, and it is the same as when everything does.
TEST(LinearTest, PartsThatNeedNoGradient) {
  const Tensor x = random64({7, 5}, 1), weight = random64({3, 5}, 2), bias = random64({3}, 3);
  Variable all[] = {Variable(x, true), Variable(weight, true), Variable(bias, true)};
  backward(sum(gelu(linear(all[0], all[1], all[2]))));
  for (int needed = 0; needed < 3; ++needed) {
    Variable some[] = {Variable(x, needed == 0), Variable(weight, needed == 1),
                       Variable(bias, needed == 2)};
    backward(sum(gelu(linear(some[0], some[1], some[2]))));
    EXPECT_TRUE(reference::bitwise_equal(some[needed].gradient(), all[needed].gradient()));
  }
}

TEST(LinearTest, Errors) {
  const Variable x(random64({7, 5}, 1));
  EXPECT_EQ(error_of([&] {
              linear(x, Variable(random64({3, 4}, 2)));
            }),
            "[linear] x is [7, 5] and weight [3, 4]; expected [M, K] and [N, K]");
  EXPECT_NE(error_of([&] {
              linear(x, Variable(random64({3, 5}, 2)), Variable(random64({4}, 3)));
            }),
            "");
}

}  // namespace
}  // namespace shardgrad
