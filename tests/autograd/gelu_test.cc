// Gradients of both GELUs.
#include "autograd/functions/gelu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/linear.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;

TEST(GeluTest, Values) {
  const Tensor x = random64({37, 5}, 1, 2.0);
  const std::vector<double> in = x.to_vector<double>();
  const auto exact = gelu(Variable(x), GeluKind::Exact).value().to_vector<double>();
  const auto tanh = gelu(Variable(x), GeluKind::Tanh).value().to_vector<double>();
  for (std::size_t i = 0; i < in.size(); ++i) {
    const double v = in[i];
    EXPECT_NEAR(exact[i], 0.5 * v * (1.0 + std::erf(v / std::sqrt(2.0))), 1e-14);
    const double inner = std::sqrt(2.0 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
    EXPECT_NEAR(tanh[i], 0.5 * v * (1.0 + std::tanh(inner)), 1e-14);
  }
}

TEST(GeluTest, Gradients) {
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    for (const Shape& shape : {Shape{1}, Shape{37, 48}, Shape{3, 5, 7}}) {
      expect_gradients_match([kind](const Inputs& in) { return gelu(in[0], kind); },
                             {random64(shape, 1)});
    }
    // Of a value that nobody else holds, whose gradient is computed in place.
    expect_gradients_match([kind](const Inputs& in) { return gelu(gelu(in[0], kind), kind); },
                           {random64({37, 5}, 2)});
  }
}

// A projection keeps the way to its GELU input instead of the input.
TEST(GeluTest, BehindAProjectionAndBeforeOne) {
  const std::vector<Tensor> inputs{random64({7, 5}, 1), random64({6, 5}, 2), random64({6}, 3),
                                   random64({4, 6}, 4)};
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    const auto fused = [kind](const Inputs& in) {
      return linear(linear_gelu(in[0], in[1], in[2], kind), in[3]);
    };
    expect_gradients_match(fused, inputs);
    Inputs one, other;
    for (const Tensor& input : inputs) {
      one.emplace_back(input, true);
      other.emplace_back(input, true);
    }
    const Variable y = fused(one);
    const Variable expected = linear(gelu(linear(other[0], other[1], other[2]), kind), other[3]);
    EXPECT_LT(reference::relative_difference(y.value(), expected.value()), 1e-14);
    backward(sum(y));
    backward(sum(expected));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_LT(reference::relative_difference(one[i].gradient(), other[i].gradient()), 1e-14) << i;
    }
  }
}

}  // namespace
}  // namespace shardgrad
