#include "tensor/kernels/cross_entropy.h"

#include "tests/tensor/cross_entropy_case.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using namespace cross_entropy_case;
using kernel_testing::IntraOpThreads;
using reference::random_ids;
using reference::random_tensor;
using ::testing::HasSubstr;

class CrossEntropyTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CrossEntropyTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

TEST_P(CrossEntropyTest, WholeVocabulary) {
  const Shape shapes[] = {{1, 2}, {1, 48}, {37, 48}, {257, 1000}, {3, 50257}};
  for (const Shape& shape : shapes) {
    const Tensor logits = random_tensor(shape, dtype(), 1, 3.0);
    const Tensor labels = random_ids({shape[0]}, 0, static_cast<std::int32_t>(shape[1]), 2);
    const Outcome outcome = run(logits, labels, {shape[1]});
    const Outcome expected = expected_of(logits, labels);
    EXPECT_NEAR(outcome.loss / expected.loss, 1.0, sum_tolerance()) << shape.to_string();
    EXPECT_DOUBLE_EQ(outcome.counted, expected.counted);
    EXPECT_LT(gradient_difference(outcome, expected), tolerance()) << shape.to_string();
  }
}

TEST_P(CrossEntropyTest, SmoothedLabelsInOneSliceAndInSeveral) {
  const Tensor logits = random_tensor({9, 101}, dtype(), 1, 3.0);
  Tensor labels = random_ids({9}, 0, 101, 2);
  labels.data<std::int32_t>()[4] = kIgnore;
  for (double smoothing : {0.1, 0.9}) {
    const Outcome expected = expected_of(logits, labels, smoothing);
    for (const std::vector<std::int64_t>& widths :
         {std::vector<std::int64_t>{101}, std::vector<std::int64_t>{40, 61},
          std::vector<std::int64_t>{1, 50, 50}}) {
      const Outcome outcome = run(logits, labels, widths, 3, 1.0, smoothing);
      EXPECT_NEAR(outcome.loss / expected.loss, 1.0, sum_tolerance()) << smoothing;
      EXPECT_LT(gradient_difference(outcome, expected), tolerance()) << smoothing;
    }
  }
}

TEST_P(CrossEntropyTest, SlicesEqualTheWhole) {
  const Tensor logits = random_tensor({37, 96}, dtype(), 1, 3.0);
  // Targets in each slice, and at the edges between them.
  Tensor labels = random_ids({37}, 0, 96, 2);
  const std::int32_t edges[] = {0, 39, 40, 95};
  std::copy(std::begin(edges), std::end(edges), labels.data<std::int32_t>());
  const Outcome expected = expected_of(logits, labels);
  for (std::int64_t padding : {0, 1, 31}) {
    for (const std::vector<std::int64_t>& widths :
         {std::vector<std::int64_t>{40, 56}, {96, 0}, {1, 39, 40, 16}}) {
      const Outcome outcome = run(logits, labels, widths, padding);
      EXPECT_NEAR(outcome.loss / expected.loss, 1.0, sum_tolerance());
      EXPECT_LT(gradient_difference(outcome, expected), tolerance());
    }
  }
}

// A label that is nearly certain: what is left of its probability minus one must not be lost to a
// rounding of the probability.
TEST_P(CrossEntropyTest, TheGradientOfAConfidentPredictionStaysAccurate) {
  Tensor logits = Tensor::zeros({1, 48}, dtype());
  logits.slice(1, 5, 1).fill(10.0);
  const Tensor labels = Tensor::full({1}, 5.0, DType::Int32);
  const Outcome outcome = run(logits, labels, {48});
  const Outcome expected = expected_of(logits, labels);
  // The probability itself is good to a few units in the last place of a number near one.
  const double bound = tolerance() * -expected.gradient(0, 5) + sum_tolerance();
  EXPECT_NEAR(outcome.gradient(0, 5), expected.gradient(0, 5), bound);
}

TEST_P(CrossEntropyTest, FactorScalesTheGradient) {
  const Tensor logits = random_tensor({5, 48}, dtype(), 1);
  const Tensor labels = random_ids({5}, 0, 48, 2);
  Outcome expected = expected_of(logits, labels);
  expected.gradient *= 0.125;
  EXPECT_LT(gradient_difference(run(logits, labels, {48}, 0, 0.125), expected), tolerance());
}

TEST_P(CrossEntropyTest, LargeLogitsStayFinite) {
  const Tensor logits = random_tensor({37, 48}, dtype(), 1, 1000.0);
  const Tensor labels = random_ids({37}, 0, 48, 2);
  const Outcome outcome = run(logits, labels, {20, 28});
  const Outcome expected = expected_of(logits, labels);
  EXPECT_NEAR(outcome.loss / expected.loss, 1.0, sum_tolerance());
  EXPECT_TRUE(outcome.gradient.allFinite());
  EXPECT_LT(gradient_difference(outcome, expected), tolerance());
}

TEST_P(CrossEntropyTest, IgnoredRowsCountForNothing) {
  const Tensor logits = random_tensor({37, 48}, dtype(), 1);
  Tensor labels = random_ids({37}, 0, 48, 2);
  for (std::int64_t m = 0; m < 37; m += 3) labels.slice(0, m, 1).fill(kIgnore);
  const Outcome outcome = run(logits, labels, {40, 8}, 2);
  const Outcome expected = expected_of(logits, labels);
  EXPECT_NEAR(outcome.loss / expected.loss, 1.0, sum_tolerance());
  EXPECT_DOUBLE_EQ(outcome.counted, 24.0);
  EXPECT_TRUE((outcome.gradient.row(0).array() == 0.0).all());
  EXPECT_LT(gradient_difference(outcome, expected), tolerance());

  const Outcome nothing = run(logits, Tensor::full({37}, kIgnore, DType::Int32), {48});
  EXPECT_EQ(nothing.loss, 0.0);
  EXPECT_EQ(nothing.counted, 0.0);
  EXPECT_TRUE((nothing.gradient.array() == 0.0).all());
}

TEST_P(CrossEntropyTest, ANanLogitMakesTheLossNan) {
  const Tensor labels = Tensor::zeros({3}, DType::Int32);
  for (std::int64_t column : {0, 47, 999}) {
    Tensor logits = random_tensor({3, 1000}, dtype(), 1);
    logits.slice(0, 1, 1).slice(1, column, 1).fill(std::nan(""));
    const Outcome outcome = run(logits, labels, {1000});
    EXPECT_TRUE(std::isnan(outcome.loss)) << column;
    EXPECT_TRUE(outcome.gradient.row(1).array().isNaN().all());
    EXPECT_TRUE(outcome.gradient.row(0).allFinite());
  }
}

TEST_P(CrossEntropyTest, MinusInfinityIsAProbabilityOfZero) {
  Tensor logits = random_tensor({3, 100}, dtype(), 1);
  logits.slice(1, 7, 60).fill(-std::numeric_limits<double>::infinity());
  const Tensor labels = Tensor::zeros({3}, DType::Int32);
  const Outcome outcome = run(logits, labels, {100});
  const Outcome expected = expected_of(logits, labels);
  EXPECT_NEAR(outcome.loss / expected.loss, 1.0, sum_tolerance());
  EXPECT_LT(gradient_difference(outcome, expected), tolerance());
}

TEST_P(CrossEntropyTest, TheNumberOfThreadsChangesNoBit) {
  const Tensor logits = random_tensor({200, 1000}, dtype(), 1);
  const Tensor labels = random_ids({200}, 0, 1000, 2);
  const Outcome first = run(logits, labels, {1000});
  for (int threads : {1, 2, 3}) {
    const IntraOpThreads scope(threads);
    const Outcome again = run(logits, labels, {1000});
    EXPECT_EQ(again.loss, first.loss);
    EXPECT_EQ(again.gradient, first.gradient);
  }
}

TEST_P(CrossEntropyTest, RowMaxOfNoColumnsIsMinusInfinity) {
  Tensor max = Tensor::empty({2}, accumulator());
  kernels::row_max(Tensor::zeros({2, 8}, dtype()), {64, 0}, max);
  EXPECT_EQ(max.slice(0, 1, 1).item(), -std::numeric_limits<double>::infinity());
}

TEST_P(CrossEntropyTest, RowMaxDoesNotHideANan) {
  for (std::int64_t column : {0, 31, 32, 99}) {
    Tensor logits = random_tensor({1, 100}, dtype(), 1);
    logits.slice(1, column, 1).fill(std::nan(""));
    Tensor max = Tensor::empty({1}, accumulator());
    kernels::row_max(logits, {0, 100}, max);
    EXPECT_TRUE(std::isnan(max.item())) << column;
  }
}

TEST_P(CrossEntropyTest, Errors) {
  Tensor logits = Tensor::zeros({2, 8}, dtype());
  Tensor rows = Tensor::full({2}, 1.0, accumulator());
  Tensor other = Tensor::zeros({2}, accumulator());
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{0, -3}, {2});
  EXPECT_EQ(error_of([&] {
              kernels::row_max(logits, {0, 9}, rows);
            }),
            "[row_max] the slice has 9 real columns; expected 0 to 8 for logits of shape [2, 8]");
  EXPECT_EQ(error_of([&] {
              kernels::sum_exp_and_target(logits, labels, {0, 8}, {kIgnore}, rows, other, other);
            }),
            "[sum_exp_and_target] label -3 at position 1 is negative; expected a token id or "
            "ignore_index -100");
  EXPECT_THAT(error_of([&] {
                kernels::softmax_minus_target(logits, rows, {0, 8}, {kIgnore}, rows, rows,
                                              Tensor::full({}, 1.0, DType::Float64));
              }),
              HasSubstr("[softmax_minus_target] labels holds"));
  Tensor narrow = Tensor::zeros({1}, DType::Float32);
  EXPECT_THAT(error_of([&] {
                kernels::negative_log_likelihood(rows, rows, labels, kIgnore, 0.0, narrow, narrow);
              }),
              HasSubstr("one float64 element"));
}

}  // namespace
}  // namespace shardgrad
