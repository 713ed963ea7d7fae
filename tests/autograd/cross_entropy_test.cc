// Gradients of cross-entropy: ignored rows, a given normalizer, slices of the vocabulary.
#include "autograd/functions/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/gelu.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::Matrix;
using reference::random_ids;

Tensor labels_of(const std::vector<std::int32_t>& labels) {
  return Tensor::from(labels, {static_cast<std::int64_t>(labels.size())});
}

// The mean of -log softmax over the labelled rows, written out.
double expected_loss(const Matrix& logits, const Tensor& labels, double normalizer) {
  double total = 0.0, counted = 0.0;
  for (Eigen::Index row = 0; row < logits.rows(); ++row) {
    const std::int32_t label = labels.data<std::int32_t>()[row];
    if (label < 0) continue;
    const Matrix e = logits.row(row).unaryExpr([](double x) { return std::exp(x); });
    total += std::log(e.sum()) - logits(row, label);
    counted += 1.0;
  }
  return total / (normalizer > 0.0 ? normalizer : counted);
}

TEST(CrossEntropyTest, ValuesAndGradients) {
  struct Case {
    std::int64_t vocab;
    std::vector<std::int32_t> labels;
    double normalizer;
  };
  const Case cases[] = {{1, {0, 0}, 0.0},
                        {5, {4}, 0.0},
                        {7, {3, -100, 0, 6, -100, 3}, 0.0},
                        {7, {3, -100, 0, 6, -100, 3}, 10.0}};
  for (const Case& one : cases) {
    const Tensor labels = labels_of(one.labels);
    const Tensor logits = random64({labels.numel(), one.vocab}, 1);
    CrossEntropyOptions options;
    options.normalizer = one.normalizer;
    const Variable loss = cross_entropy(Variable(logits), labels, options);
    EXPECT_EQ(loss.shape(), Shape{1});
    EXPECT_NEAR(loss.value().item(),
                expected_loss(reference::to_matrix(logits), labels, one.normalizer), 1e-14);
    if (one.vocab == 1) continue;  // a certain outcome has no gradient
    expect_gradients_match([&](const Inputs& in) { return cross_entropy(in[0], labels, options); },
                           {logits});
    // In place of logits that were moved in.
    expect_gradients_match(
        [&](const Inputs& in) { return cross_entropy(scale(in[0], 2.0), labels, options); },
        {logits});
  }
}

TEST(CrossEntropyTest, AnotherIgnoreIndex) {
  CrossEntropyOptions options;
  options.ignore_index = 2;
  const Tensor labels = labels_of({1, 2, 0, 2});
  expect_gradients_match([&](const Inputs& in) { return cross_entropy(in[0], labels, options); },
                         {random64({4, 3}, 1)});
  Variable logits(random64({4, 3}, 1), true);
  backward(cross_entropy(logits, labels, options));
  const Matrix gradient = reference::to_matrix(logits.gradient());
  EXPECT_EQ(gradient.row(1).norm() + gradient.row(3).norm(), 0.0);
}

TEST(CrossEntropyTest, LabelSmoothing) {
  const Tensor labels = labels_of({3, -100, 0, 6});
  const Tensor logits = random64({4, 7}, 1);
  CrossEntropyOptions options;
  options.label_smoothing = 0.1;
  const Matrix z = reference::to_matrix(logits);
  // Linear in the target: the plain loss, and the mean of those of every label.
  double expected = 0.9 * expected_loss(z, labels, 0.0);
  for (std::int32_t v = 0; v < 7; ++v) {
    expected += 0.1 / 7.0 * expected_loss(z, labels_of({v, -100, v, v}), 0.0);
  }
  EXPECT_NEAR(cross_entropy(Variable(logits), labels, options).value().item(), expected, 1e-14);
  expect_gradients_match([&](const Inputs& in) { return cross_entropy(in[0], labels, options); },
                         {logits});
  options.label_smoothing = 1.0;
  EXPECT_THROW(cross_entropy(Variable(logits), labels, options), Error);
}

TEST(CrossEntropyTest, NoRowCounts) {
  Variable logits(random64({3, 5}, 1), true);
  const Variable loss = cross_entropy(logits, labels_of({-100, -100, -100}));
  EXPECT_EQ(loss.value().item(), 0.0);
  backward(loss);
  EXPECT_EQ(reference::to_matrix(logits.gradient()).norm(), 0.0);
}

// A GPT's last layer: 37 tokens, a sample of the logits as each takes four forward passes.
TEST(CrossEntropyTest, SampleOfAWiderVocabulary) {
  const Tensor labels = random_ids({37}, 0, 257, 2);
  gradcheck::Options options;
  options.elements_per_input = 1013;
  expect_gradients_match([&](const Inputs& in) { return cross_entropy(in[0], labels); },
                         {random64({37, 257}, 1)}, options);
}

// The logits also feed another function: their gradient may not be written over them.
TEST(CrossEntropyTest, LogitsWithAnotherConsumer) {
  const Tensor labels = labels_of({3, -100, 0});
  for (bool entropy_first : {false, true}) {
    expect_gradients_match(
        [&](const Inputs& in) {
          Variable logits = scale(in[0], 1.5);
          const Variable other = sum(gelu(logits));
          const Variable loss = cross_entropy(std::move(logits), labels);
          return entropy_first ? add(loss, other) : add(other, loss);
        },
        {random64({3, 5}, 1)});
  }
}

// What the ranks that hold other columns contribute, computed here from their logits.
VocabularyReductions with_other_columns(const Matrix& others, const Tensor& labels,
                                        std::int64_t first_other) {
  auto row_max = std::make_shared<std::vector<double>>();
  VocabularyReductions reductions;
  reductions.max = [=](Tensor& max) {
    for (Eigen::Index row = 0; row < others.rows(); ++row) {
      double& value = max.data<double>()[row];
      value = std::max(value, others.row(row).maxCoeff());
    }
    *row_max = max.to_vector<double>();
  };
  reductions.sum = [=](Tensor& sums) {
    const std::int64_t rows = others.rows();
    for (std::int64_t row = 0; row < rows; ++row) {
      const double max = (*row_max)[static_cast<std::size_t>(row)];
      sums.data<double>()[row] += (others.row(row).array() - max).exp().sum();
      const std::int64_t column = labels.data<std::int32_t>()[row] - first_other;
      if (column >= 0 && column < others.cols()) {
        sums.data<double>()[rows + row] += others(row, column) - max;
      }
    }
  };
  return reductions;
}

// Columns [0, 4) and [4, 9) of 9, each in a slice with two columns of padding.
TEST(CrossEntropyTest, VocabularySlices) {
  const Tensor labels = labels_of({3, 4, 8, -100, 0});
  const Matrix all = reference::to_matrix(random64({5, 9}, 1));
  CrossEntropyOptions options;
  for (double normalizer : {0.0, 12.0}) {
    options.normalizer = normalizer;
    for (bool first : {true, false}) {
      const VocabularySlice slice = first ? VocabularySlice{0, 4} : VocabularySlice{4, 5};
      const Matrix others = first ? all.rightCols(5) : all.leftCols(4);
      Matrix mine = Matrix::Constant(5, slice.columns + 2, 50.0);  // padding must not count
      mine.leftCols(slice.columns) = all.middleCols(slice.first_column, slice.columns);
      const auto loss_of = [&](const Variable& logits) {
        return cross_entropy(logits, labels, 9, slice,
                             with_other_columns(others, labels, first ? 4 : 0), options);
      };
      const Tensor logits = reference::to_tensor(mine, DType::Float64);
      EXPECT_NEAR(loss_of(Variable(logits)).value().item(), expected_loss(all, labels, normalizer),
                  1e-14);
      expect_gradients_match([&](const Inputs& in) { return loss_of(in[0]); }, {logits});
      Variable leaf(logits, true);
      backward(loss_of(leaf));
      EXPECT_EQ(reference::to_matrix(leaf.gradient()).rightCols(2).norm(), 0.0);
    }
  }
}

TEST(CrossEntropyTest, Errors) {
  const Variable logits(random64({2, 5}, 1));
  EXPECT_EQ(error_of([&] {
              cross_entropy(logits, labels_of({0, 5}));
            }),
            "[cross_entropy] label 5 at row 1 is outside the vocabulary of 5; use ids in [0, 5) or "
            "the ignore_index -100");
  EXPECT_NE(error_of([&] { cross_entropy(logits, labels_of({0, -1})); }), "");
  EXPECT_EQ(error_of([&] {
              cross_entropy(logits, labels_of({0, 1, 2}));
            }),
            "[cross_entropy] logits are [2, 5] and labels [3]; expected [M, V] and [M]");
}

}  // namespace
}  // namespace shardgrad
