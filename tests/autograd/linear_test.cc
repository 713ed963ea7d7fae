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
using ::testing::ElementsAre;

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

// A region that takes rows to twice as many, each multiplied by 3; its adjoint adds them up again.
// Both tell `watch` when they begin and end.
InputRegion doubling(const std::function<void(const char*)>& watch) {
  const auto crossing = [watch](const char* begin, const char* end, const Matrix& result) {
    watch(begin);
    return [watch, end, tensor = reference::to_tensor(result, DType::Float64)] {
      watch(end);
      return tensor;
    };
  };
  return {[crossing](const Tensor& x) {
            const Matrix one = 3.0 * to_matrix(x);
            Matrix two(2 * one.rows(), one.cols());
            two << one, one;
            return crossing("x begins", "x ends", two);
          },
          [crossing](const Tensor& dx) {
            const Matrix two = 3.0 * to_matrix(dx);
            const Eigen::Index rows = two.rows() / 2;
            return crossing("dx begins", "dx ends",
                            Matrix(two.topRows(rows) + two.bottomRows(rows)));
          }};
}

TEST(LinearTest, GradientsThroughARegion) {
  const InputRegion region = doubling([](const char*) {});
  const std::vector<Tensor> inputs{random64({7, 5}, 1), random64({3, 5}, 2), random64({3}, 3)};
  expect_gradients_match(
      [&](const Inputs& in) { return linear(scale(in[0], 1.5), in[1], in[2], region); }, inputs);
  expect_gradients_match(
      [&](const Inputs& in) {
        return linear_gelu(scale(in[0], 0.2), in[1], in[2], GeluKind::Tanh, region);
      },
      inputs);
  // The input's value is itself computed again, and its gradient added to another's.
  expect_gradients_match(
      [&](const Inputs& in) {
        const Variable x = gelu(in[0]);
        return add(linear(x, in[1], in[2], region), linear(x, in[1], in[2], region));
      },
      inputs);
}

// What makes the overlap: everything is begun as early as it can be, and waited for when there is
// nothing else to do. And the gradient is not read before it is waited for.
TEST(LinearTest, TheGradientsOfTheParametersAreComputedWhileThatOfTheInputCrosses) {
  Variable x(random64({7, 5}, 1), true), weight(random64({3, 5}, 2), true),
      bias(random64({3}, 3), true);
  std::vector<std::string> calls;
  const InputRegion region = doubling([&](const char* call) {
    const bool computed = weight.gradient().defined() && bias.gradient().defined();
    calls.push_back(call + std::string(computed ? ", parameters done" : ""));
    EXPECT_FALSE(x.gradient().defined());
  });
  const Variable loss = sum(linear(x, weight, bias, region));
  EXPECT_THAT(calls, ElementsAre("x begins", "x ends"));
  calls.clear();
  backward(loss);
  EXPECT_THAT(calls, ElementsAre("x begins", "dx begins", "x ends", "dx ends, parameters done"));
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
