// Gradients of both GELUs.
#include "autograd/functions/gelu.h"

#include <gtest/gtest.h>

#include <cmath>

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

}  // namespace
}  // namespace shardgrad
