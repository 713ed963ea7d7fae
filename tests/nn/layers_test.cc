// The dense layers against Eigen formulas, and dropout masks that are slices of one mask.
#include <gtest/gtest.h>

#include <cmath>

#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;

constexpr ParameterOptions kFloat64{DType::Float64};

Tensor value_of(const Module& module, int index) {
  return module.named_parameters()[index].parameter->variable.value();
}

TEST(Linear, IsTheAffineMap) {
  const Linear layer(12, 20, true, kFloat64);
  initialize_parameters(layer, 1);
  Tensor bias = value_of(layer, 1);
  bias.copy_from(random_tensor({20}, DType::Float64, 2));
  const Tensor x = random_tensor({7, 12}, DType::Float64, 3);
  const Matrix expected =
      (to_matrix(x) * to_matrix(value_of(layer, 0)).transpose()).rowwise() + to_matrix(bias).row(0);
  EXPECT_LT(relative_difference(layer.forward(Variable(x)).value(), expected), 1e-14);
  EXPECT_EQ(Linear(12, 20, false).named_parameters().size(), 1u);
  EXPECT_THROW(Linear(0, 20), Error);
}

TEST(LayerNorm, NormalisesScalesAndShifts) {
  const LayerNorm layer(12, 1e-3, kFloat64);
  Tensor weight = value_of(layer, 0), bias = value_of(layer, 1);
  weight.copy_from(random_tensor({12}, DType::Float64, 1));
  bias.copy_from(random_tensor({12}, DType::Float64, 2));
  const Tensor x = random_tensor({7, 12}, DType::Float64, 3);
  Matrix expected = to_matrix(x);
  for (int row = 0; row < 7; ++row) {
    const double mean = expected.row(row).mean();
    const double variance = (expected.row(row).array() - mean).square().mean();
    expected.row(row) = ((expected.row(row).array() - mean) / std::sqrt(variance + 1e-3) *
                         to_matrix(weight).row(0).array()) +
                        to_matrix(bias).row(0).array();
  }
  EXPECT_LT(relative_difference(layer.forward(Variable(x)).value(), expected), 1e-14);
  EXPECT_THROW(LayerNorm(0), Error);
}

TEST(Embedding, LooksUpRowsAndRefusesOthers) {
  const Embedding layer(5, 3, 1.0, kFloat64);
  initialize_parameters(layer, 1);
  const Matrix table = to_matrix(value_of(layer, 0));
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{4, 0, 4}, {3});
  Matrix expected(3, 3);
  expected << table.row(4), table.row(0), table.row(4);
  EXPECT_EQ(relative_difference(layer.forward(ids).value(), expected), 0.0);
  for (std::int32_t id : {-1, 5}) {
    EXPECT_THROW(layer.forward(Tensor::from(std::vector<std::int32_t>{id}, {1})), Error);
  }
}

ForwardContext training(std::int64_t step, std::int64_t first_sequence) {
  ForwardContext context;
  context.training = true;
  context.seed = 3;
  context.step = step;
  context.first_sequence = first_sequence;
  context.tokens = 16;
  return context;
}

TEST(Dropout, AMicroBatchDrawsItsSliceOfTheMask) {
  const Dropout layer(0.3, "here", 1);
  const Tensor ones = Tensor::full({4 * 16, 24}, 1.0);  // four sequences
  const Tensor whole = layer.forward(Variable(ones), training(5, 0)).value();
  for (std::int64_t first : {0, 1, 3}) {
    const Tensor part = ones.slice(0, 0, 16).contiguous();
    EXPECT_TRUE(bitwise_equal(layer.forward(Variable(part), training(5, first)).value(),
                              whole.slice(0, first * 16, 16).contiguous()));
  }
}

TEST(Dropout, SitesLayersAndStepsDrawOtherMasks) {
  const Variable ones(Tensor::full({16, 24}, 1.0));
  const Tensor base = Dropout(0.3, "here", 1).forward(ones, training(5, 0)).value();
  EXPECT_TRUE(bitwise_equal(Dropout(0.3, "here", 1).forward(ones, training(5, 0)).value(), base));
  EXPECT_FALSE(bitwise_equal(Dropout(0.3, "there", 1).forward(ones, training(5, 0)).value(), base));
  EXPECT_FALSE(bitwise_equal(Dropout(0.3, "here", 2).forward(ones, training(5, 0)).value(), base));
  EXPECT_FALSE(bitwise_equal(Dropout(0.3, "here", 1).forward(ones, training(6, 0)).value(), base));
}

TEST(Dropout, KeepsTheExpectationAndDoesNothingOutsideTraining) {
  const Tensor ones = Tensor::full({400, 256}, 1.0);
  const Dropout layer(0.3, "here");
  const Matrix dropped = to_matrix(layer.forward(Variable(ones), training(0, 0)).value());
  const double kept = (dropped.array() != 0.0).cast<double>().mean();
  EXPECT_NEAR(kept, 0.7, 5 * std::sqrt(0.21 / 102400));  // five standard errors
  EXPECT_NEAR(dropped.mean(), 1.0, 5 * std::sqrt(0.21 / 102400) / 0.7);
  EXPECT_TRUE(bitwise_equal(layer.forward(Variable(ones), {}).value(), ones));
  EXPECT_THROW(Dropout(1.0, "here"), Error);
  EXPECT_THROW(Dropout(-0.1, "here"), Error);
}

}  // namespace
}  // namespace shardgrad
