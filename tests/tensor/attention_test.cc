// Causal attention against the T x T computation written out: sizes around the kernel's blocks,
// masks, dropout, and slices of the heads and of the batch.
#include "tensor/kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/reference.h"
#include "tests/tensor/attention_reference.h"
#include "tests/tensor/attention_run.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using attention_reference::Expected;
using attention_run::dropout_of;
using attention_run::Inputs;
using attention_run::Result;
using attention_run::whole;
using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::HasSubstr;

class AttentionTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, AttentionTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

// Runs both passes and compares them with the reference.
void expect_reference(const Inputs& inputs, const Tensor& key_padding_mask,
                      const AttentionShape& shape, const DropoutMask& dropout, double tolerance) {
  SCOPED_TRACE(fmt::format("B={} T={} H={} Dh={} p={}", shape.batch, shape.tokens, shape.heads,
                           shape.head_dim, dropout.probability));
  const Result result(inputs.qkv, key_padding_mask, inputs.dout, shape, dropout);
  const Expected expected =
      attention_reference::attention(inputs.qkv, key_padding_mask, inputs.dout, shape, dropout);
  EXPECT_LT(relative_difference(result.out, expected.out), tolerance);
  EXPECT_LT(relative_difference(result.dqkv, expected.dqkv), tolerance);
  // The log-sum-exp may be -infinity: such rows are compared exactly, the others by distance.
  Matrix sums = to_matrix(result.log_sum_exp), expected_sums = expected.log_sum_exp;
  for (Eigen::Index index = 0; index < sums.size(); ++index) {
    double &sum = sums.data()[index], &expected_sum = expected_sums.data()[index];
    if (std::isfinite(expected_sum)) continue;
    EXPECT_EQ(sum, expected_sum) << "row " << index;
    sum = expected_sum = 0.0;
  }
  const double sum_tolerance = inputs.qkv.dtype() == DType::Float64 ? 1e-12 : 1e-6;
  EXPECT_LE((sums - expected_sums).norm(), sum_tolerance * expected_sums.norm() + sum_tolerance);
}

TEST_P(AttentionTest, MatchesTheWrittenOutComputation) {
  for (std::int64_t tokens : {1, 37, 64, 130}) {
    for (std::int64_t heads : {1, 3}) {
      for (std::int64_t head_dim : {16, 64, 5}) {
        const AttentionShape shape = whole(2, tokens, heads, head_dim);
        const Inputs inputs(shape, dtype());
        for (double probability : {0.0, 0.3}) {
          expect_reference(inputs, Tensor(), shape, dropout_of(probability), tolerance());
        }
      }
    }
  }
}

// Widths that fill one vector to nine of them, with and without a rest, and three blocks of tokens.
TEST_P(AttentionTest, HeadsOfEveryWidth) {
  for (std::int64_t head_dim : {1, 24, 33, 48, 80, 100, 129}) {
    const AttentionShape shape = whole(1, 150, 2, head_dim);
    expect_reference(Inputs(shape, dtype()), Tensor(), shape, dropout_of(0.3), tolerance());
  }
}

// Row 0 of a mask: all visible. Rows 1 and 2: padded at the right and at the left. Row 3: holes.
// Row 4: nothing visible.
Tensor padding_masks(std::int64_t tokens) {
  Tensor mask = Tensor::full({5, tokens}, 1.0, DType::Int32);
  std::int32_t* const visible = mask.data<std::int32_t>();
  for (std::int64_t key = 0; key < tokens; ++key) {
    if (key >= tokens - tokens / 3) visible[tokens + key] = 0;
    if (key < tokens / 2) visible[2 * tokens + key] = 0;
    if (key % 3 == 1) visible[3 * tokens + key] = 0;
    visible[4 * tokens + key] = 0;
  }
  return mask;
}

TEST_P(AttentionTest, PaddingMasks) {
  for (std::int64_t tokens : {1, 37, 64, 130}) {
    const AttentionShape shape = whole(5, tokens, 3, 16);
    const Inputs inputs(shape, dtype());
    for (double probability : {0.0, 0.3}) {
      expect_reference(inputs, padding_masks(tokens), shape, dropout_of(probability), tolerance());
    }
  }
}

TEST_P(AttentionTest, QueriesWithoutKeysGiveExactZeros) {
  constexpr std::int64_t kTokens = 130, kHeads = 3;
  const AttentionShape shape = whole(5, kTokens, kHeads, 16);
  const Inputs inputs(shape, dtype());
  for (double probability : {0.0, 0.3}) {
    const Result result(inputs.qkv, padding_masks(kTokens), inputs.dout, shape,
                        dropout_of(probability));
    const Matrix out = to_matrix(result.out), dqkv = to_matrix(result.dqkv);
    EXPECT_TRUE(out.allFinite());
    EXPECT_TRUE(dqkv.allFinite());
    // Left padding: queries before the first visible key. And the sequence with no key at all.
    const std::pair<std::int64_t, std::int64_t> hidden[] = {{2 * kTokens, kTokens / 2},
                                                            {4 * kTokens, kTokens}};
    for (const auto& [first, rows] : hidden) {
      EXPECT_TRUE((out.middleRows(first, rows).array() == 0.0).all());
      EXPECT_TRUE((dqkv.middleRows(first, rows).array() == 0.0).all());
    }
    const Matrix sums = to_matrix(result.log_sum_exp);
    EXPECT_TRUE(
        (sums.middleRows(4 * kHeads, kHeads).array() == -std::numeric_limits<double>::infinity())
            .all());
  }
}

// Heads [1, 3) of 3, as tensor parallelism cuts them, draw the masks of those heads of the layer.
TEST_P(AttentionTest, HeadSlicesEqualTheWholeLayer) {
  constexpr std::int64_t kBatch = 2, kTokens = 70, kHeads = 3, kDim = 16, kLocal = 2;
  const AttentionShape shape = whole(kBatch, kTokens, kHeads, kDim);
  const Inputs inputs(shape, dtype());
  AttentionShape local = shape;
  local.heads = kLocal;
  local.first_head = 1;
  // Columns of heads [1, 3) of each of `parts` equal groups of columns.
  const auto heads_of = [&](const Tensor& tensor, std::int64_t parts) {
    return tensor.reshape({kBatch * kTokens, parts, kHeads * kDim})
        .slice(2, kDim, kLocal * kDim)
        .contiguous()
        .reshape({kBatch * kTokens, parts * kLocal * kDim});
  };
  for (double probability : {0.0, 0.3}) {
    const DropoutMask dropout = dropout_of(probability);
    const Result all(inputs.qkv, Tensor(), inputs.dout, shape, dropout);
    const Result some(heads_of(inputs.qkv, 3), Tensor(), heads_of(inputs.dout, 1), local, dropout);
    EXPECT_TRUE(bitwise_equal(some.out, heads_of(all.out, 1)));
    EXPECT_TRUE(bitwise_equal(some.log_sum_exp, all.log_sum_exp.slice(1, 1, kLocal)));
    EXPECT_TRUE(bitwise_equal(some.dqkv, heads_of(all.dqkv, 3)));
  }
}

// A batch in two calls, as data parallelism and gradient accumulation cut it.
TEST_P(AttentionTest, BatchSlicesEqualTheWholeBatch) {
  constexpr std::int64_t kTokens = 70;
  const AttentionShape shape = whole(5, kTokens, 3, 16);
  const Inputs inputs(shape, dtype());
  const Tensor mask = padding_masks(kTokens);
  const Result all(inputs.qkv, mask, inputs.dout, shape, dropout_of(0.3));
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 3}}) {
    AttentionShape local = shape;
    local.batch = count;
    local.first_sequence = first;
    const auto rows = [first = first, count = count](const Tensor& tensor, std::int64_t each) {
      return tensor.slice(0, first * each, count * each).contiguous();
    };
    const Result some(rows(inputs.qkv, kTokens), rows(mask, 1), rows(inputs.dout, kTokens), local,
                      dropout_of(0.3));
    EXPECT_TRUE(bitwise_equal(some.out, rows(all.out, kTokens)));
    EXPECT_TRUE(bitwise_equal(some.log_sum_exp, rows(all.log_sum_exp, 1)));
    EXPECT_TRUE(bitwise_equal(some.dqkv, rows(all.dqkv, kTokens)));
  }
}

TEST_P(AttentionTest, ThreadsDoNotChangeABit) {
  const AttentionShape shape = whole(3, 100, 3, 16);
  const Inputs inputs(shape, dtype());
  const Result first(inputs.qkv, Tensor(), inputs.dout, shape, dropout_of(0.3));
  for (int threads : {1, 2, 3, 5}) {
    const IntraOpThreads scope(threads);
    const Result again(inputs.qkv, Tensor(), inputs.dout, shape, dropout_of(0.3));
    EXPECT_TRUE(bitwise_equal(again.out, first.out));
    EXPECT_TRUE(bitwise_equal(again.dqkv, first.dqkv));
  }
}

// Scores of tens of thousands: exp would overflow without the maximum, and the maximum grows from
// block to block.
TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  const AttentionShape shape = whole(2, 130, 3, 16);
  const Inputs inputs(shape, dtype(), /*scale=*/100.0);
  const Result result(inputs.qkv, Tensor(), inputs.dout, shape, dropout_of(0.0));
  EXPECT_TRUE(to_matrix(result.out).allFinite());
  EXPECT_TRUE(to_matrix(result.dqkv).allFinite());
  const Expected expected =
      attention_reference::attention(inputs.qkv, Tensor(), inputs.dout, shape, dropout_of(0.0));
  // A score near 1e4 carries a rounding of 1e4 epsilons, which its exponential passes on.
  const double epsilon = accumulator() == DType::Float32 ? 1.2e-7 : 2.2e-16;
  const double bound = 1e4 * epsilon + (dtype() == DType::BFloat16 ? tolerance() : 0.0);
  EXPECT_LT(relative_difference(result.out, expected.out), bound);
}

TEST_P(AttentionTest, TheFutureDoesNotReachThePast) {
  constexpr std::int64_t kTokens = 130;
  const AttentionShape shape = whole(1, kTokens, 3, 16);
  const Inputs inputs(shape, dtype());
  for (double probability : {0.0, 0.3}) {
    const DropoutMask dropout = dropout_of(probability);
    const Result before(inputs.qkv, Tensor(), inputs.dout, shape, dropout);
    for (std::int64_t changed : {1, 63, 64, 100, 129}) {
      Tensor qkv = inputs.qkv.clone();
      Tensor future = qkv.slice(0, changed, kTokens - changed);
      future.copy_from(random_tensor(future.shape(), dtype(), 3, 5.0));
      const Result after(qkv, Tensor(), inputs.dout, shape, dropout);
      EXPECT_TRUE(bitwise_equal(after.out.slice(0, 0, changed), before.out.slice(0, 0, changed)));
      EXPECT_FALSE(bitwise_equal(after.out, before.out));
      // An early output's gradient stops at its own token.
      Tensor dout = inputs.dout.clone();
      dout.slice(0, changed, kTokens - changed).fill(0.0);
      const Result early(inputs.qkv, Tensor(), dout, shape, dropout);
      EXPECT_TRUE((to_matrix(early.dqkv).bottomRows(kTokens - changed).array() == 0.0).all());
      EXPECT_TRUE(to_matrix(early.dqkv).topRows(changed).norm() > 0.0);
    }
  }
}

TEST_P(AttentionTest, Errors) {
  const AttentionShape shape = whole(2, 5, 3, 4);
  const Inputs inputs(shape, dtype());
  const auto message = [&](const Tensor& mask, const AttentionShape& given, double probability) {
    return error_of([&] { Result(inputs.qkv, mask, inputs.dout, given, dropout_of(probability)); });
  };
  EXPECT_EQ(message(Tensor(), shape, 0.1), "");
  AttentionShape outside = shape;
  outside.first_head = 1;
  EXPECT_EQ(message(Tensor(), outside, 0.1),
            "[attention_forward] heads [1, 4) are not among the layer's 3");
  EXPECT_THAT(message(Tensor(), shape, 1.0), HasSubstr("dropout probability is 1"));
  EXPECT_THAT(message(Tensor(), shape, -0.1), HasSubstr("dropout probability is -0.1"));
  EXPECT_THAT(message(Tensor(), whole(2, 5, 4, 4), 0.1), HasSubstr("qkv has shape [10, 36]"));
  EXPECT_THAT(message(Tensor::full({2, 4}, 1.0, DType::Int32), shape, 0.1),
              HasSubstr("key_padding_mask has shape [2, 4]; expected [2, 5]"));
  EXPECT_THAT(message(Tensor::full({2, 5}, 1.0), shape, 0.1),
              HasSubstr("key_padding_mask holds float32"));
}

}  // namespace
}  // namespace shardgrad
