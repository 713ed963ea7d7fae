// Gradients of causal attention with padding, dropout and a slice of the heads.
#include "autograd/functions/attention.h"

#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;

Tensor qkv_for(const AttentionShape& shape) {
  return random64({shape.batch * shape.tokens, 3 * shape.heads * shape.head_dim}, 1);
}

TEST(CausalAttentionTest, EveryElementOfSmallShapes) {
  for (const AttentionShape& shape :
       {AttentionShape{2, 5, 2, 3, 0, 2, 0}, AttentionShape{1, 3, 1, 1, 0, 1, 0},
        AttentionShape{2, 6, 2, 4, 1, 3, 3}}) {
    for (double probability : {0.0, 0.3}) {
      const DropoutMask dropout{probability, {3, 4}, 0};
      expect_gradients_match(
          [&](const Inputs& in) { return causal_attention(in[0], Tensor(), shape, dropout); },
          {qkv_for(shape)});
    }
  }
}

// One token attends to itself alone: the queries and keys get exact zeros, the values dout.
TEST(CausalAttentionTest, OneToken) {
  const AttentionShape shape{3, 1, 2, 4, 0, 2, 0};
  Variable qkv(qkv_for(shape), true);
  backward(sum(causal_attention(qkv, Tensor(), shape, {})));
  const reference::Matrix gradient = reference::to_matrix(qkv.gradient());
  EXPECT_LT(gradient.leftCols(16).norm(), 1e-15);
  EXPECT_LT((gradient.rightCols(8) - reference::Matrix::Ones(3, 8)).norm(), 1e-15);
}

TEST(CausalAttentionTest, PaddingAndDropout) {
  const AttentionShape shape{4, 5, 2, 3, 0, 2, 0};
  // Right, left, a hole, and nothing visible.
  const Tensor mask = Tensor::from<std::int32_t>(
      {1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0}, {4, 5});
  for (double probability : {0.0, 0.3}) {
    const DropoutMask dropout{probability, {3, 4}, 0};
    expect_gradients_match(
        [&](const Inputs& in) { return causal_attention(in[0], mask, shape, dropout); },
        {qkv_for(shape)});
  }
}

// Sizes that fill no block, and more than one block. A sample of the elements: each takes four
// forward passes.
TEST(CausalAttentionTest, SampleOfLargerShapes) {
  gradcheck::Options options;
  options.elements_per_input = 203;  // prime to the rows' width, so every column's part is met
  for (const AttentionShape& shape :
       {AttentionShape{2, 37, 3, 16, 0, 3, 0}, AttentionShape{1, 70, 3, 16, 0, 3, 0}}) {
    for (double probability : {0.0, 0.3}) {
      const DropoutMask dropout{probability, {3, 4}, 0};
      expect_gradients_match(
          [&](const Inputs& in) { return causal_attention(in[0], Tensor(), shape, dropout); },
          {qkv_for(shape)}, options);
    }
  }
}

}  // namespace
}  // namespace shardgrad
