// Gradients of layer normalisation.
#include "autograd/functions/layer_norm.h"

#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/dropout.h"
#include "autograd/functions/gelu.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;

TEST(LayerNormTest, Gradients) {
  for (const Shape& shape : {Shape{1, 5}, Shape{5, 3}, Shape{37, 48}}) {
    expect_gradients_match([](const Inputs& in) { return layer_norm(in[0], in[1], in[2]); },
                           {random64(shape, 1), random64({shape[1]}, 2), random64({shape[1]}, 3)});
  }
}

// The residual stream of a pre-norm block: x is used by the norm and by the addition.
TEST(LayerNormTest, ResidualBranch) {
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable x = scale(in[0], 1.5);
        const Variable once = add(x, gelu(layer_norm(x, in[1], in[2])));
        return add(once, gelu(layer_norm(once, in[1], in[2])));
      },
      {random64({7, 5}, 1), random64({5}, 2), random64({5}, 3)});
}

TEST(LayerNormTest, LargeEpsilon) {
  expect_gradients_match([](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 0.5); },
                         {random64({7, 5}, 1), random64({5}, 2), random64({5}, 3)});
}

// One vector as scale and shift, a leaf and a result: two gradients for one tensor.
TEST(LayerNormTest, OneVectorForBothParameters) {
  const std::vector<Tensor> inputs{random64({7, 5}, 1), random64({5}, 2)};
  expect_gradients_match([](const Inputs& in) { return layer_norm(in[0], in[1], in[1]); }, inputs);
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable both = gelu(in[1]);
        return layer_norm(in[0], both, both);
      },
      inputs);
}

// Only what needs a gradient gets one, and it is the same as when everything does.
TEST(LayerNormTest, PartsThatNeedNoGradient) {
  const Tensor x = random64({7, 5}, 1), gamma = random64({5}, 2), beta = random64({5}, 3);
  Variable all[] = {Variable(x, true), Variable(gamma, true), Variable(beta, true)};
  backward(sum(gelu(layer_norm(all[0], all[1], all[2]))));
  for (int needed = 0; needed < 3; ++needed) {
    Variable some[] = {Variable(x, needed == 0), Variable(gamma, needed == 1),
                       Variable(beta, needed == 2)};
    backward(sum(gelu(layer_norm(some[0], some[1], some[2]))));
    EXPECT_TRUE(reference::bitwise_equal(some[needed].gradient(), all[needed].gradient()));
  }
}

// The one pass has the bits of its two parts, values and gradients, and the gradients are right.
TEST(ResidualLayerNormTest, IsTheSumAndItsNorm) {
  for (double probability : {0.0, 0.3}) {
    const DropoutMask mask{probability, {3, 4}, 11};
    const auto fused = [&](const Inputs& in) {
      const ResidualLayerNorm both =
          residual_layer_norm(scale(in[0], 1.5), gelu(in[1]), mask, in[2], in[3]);
      return add(both.sum, gelu(both.normalized));
    };
    const auto parts = [&](const Inputs& in) {
      const Variable sum = dropout_add(scale(in[0], 1.5), gelu(in[1]), mask);
      return add(sum, gelu(layer_norm(sum, in[2], in[3])));
    };
    const std::vector<Tensor> inputs{random64({7, 5}, 1), random64({7, 5}, 2), random64({5}, 3),
                                     random64({5}, 4)};
    expect_gradients_match(fused, inputs);
    Inputs one, other;
    for (const Tensor& input : inputs) {
      one.emplace_back(input, true);
      other.emplace_back(input, true);
    }
    const Variable y = fused(one), expected = parts(other);
    EXPECT_TRUE(reference::bitwise_equal(y.value(), expected.value()));
    backward(sum(y));
    backward(sum(expected));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_TRUE(reference::bitwise_equal(one[i].gradient(), other[i].gradient())) << i;
    }
  }
}

TEST(LayerNormTest, Errors) {
  const Variable x(random64({7, 5}, 1)), five(random64({5}, 2)), four(random64({4}, 3));
  EXPECT_EQ(error_of([&] { layer_norm(x, four, five); }),
            "[layer_norm] x is [7, 5], gamma [4], beta [5]; expected [M, D], [D], [D]");
  EXPECT_NE(error_of([&] { layer_norm(x, five, four); }), "");
  EXPECT_EQ(error_of([&] { residual_layer_norm(x, x, {}, five, four); }),
            "[residual_layer_norm] x is [7, 5], gamma [5], beta [4]; expected [M, D], [D], [D]");
}

}  // namespace
}  // namespace shardgrad
