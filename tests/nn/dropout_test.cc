// Dropout masks of different sites, layers, steps and seeds have nothing to do with each other, and
// what a layer drops forward it drops backward.
#include "nn/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "autograd/functions/arithmetic.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::Matrix;
using reference::to_matrix;

constexpr double kProbability = 0.3;
constexpr std::int64_t kRows = 400, kColumns = 256, kCount = kRows * kColumns;

ForwardContext training(std::int64_t step = 5, std::uint64_t seed = 3) {
  ForwardContext context;
  context.training = true;
  context.seed = seed;
  context.step = step;
  context.tokens = 16;
  return context;
}

// 1 where the element is kept, 0 where it is dropped.
Matrix kept(const Dropout& layer, const ForwardContext& context) {
  const Variable ones(Tensor::full({kRows, kColumns}, 1.0));
  const Matrix y = to_matrix(layer.forward(ones, context).value());
  return (y.array() != 0.0).cast<double>();
}

// Two independent masks agree on p^2 + (1 - p)^2 of the elements, within five standard errors.
void expect_independent(const Matrix& a, const Matrix& b, const char* what) {
  const double agree = (a.array() == b.array()).cast<double>().mean();
  const double expected = kProbability * kProbability + (1 - kProbability) * (1 - kProbability);
  EXPECT_NEAR(agree, expected, 5 * std::sqrt(expected * (1 - expected) / kCount)) << what;
}

TEST(DropoutMasks, AreIndependent) {
  const Matrix base = kept(Dropout(kProbability, "here", 1), training());
  expect_independent(kept(Dropout(kProbability, "there", 1), training()), base, "site");
  expect_independent(kept(Dropout(kProbability, "here", 2), training()), base, "layer");
  expect_independent(kept(Dropout(kProbability, "here", 1), training(6)), base, "step");
  expect_independent(kept(Dropout(kProbability, "here", 1), training(5, 4)), base, "seed");
  // Layer and step must not be interchangeable: layer 1 at step 2 against layer 2 at step 1.
  expect_independent(kept(Dropout(kProbability, "here", 1), training(2)),
                     kept(Dropout(kProbability, "here", 2), training(1)), "layer against step");
  Matrix next(kRows, kColumns);
  for (std::int64_t shift : {1, 2, 3, 4, 256}) {  // neighbours within one mask
    for (std::int64_t i = 0; i < kCount; ++i) {
      next.data()[i] = base.data()[(i + shift) % kCount];
    }
    expect_independent(next, base, "neighbour");
  }
}

// Every site of the largest preset has a stream of its own in each of a hundred steps.
TEST(DropoutMasks, StreamsAreDistinct) {
  std::set<std::uint64_t> streams;
  for (const char* site : {"embedding", "attention", "attention_residual", "feed_forward"}) {
    for (std::int64_t layer = 0; layer < 48; ++layer) {
      const Dropout dropout(kProbability, site, layer);
      for (std::int64_t step = 0; step < 100; ++step) {
        streams.insert(dropout.mask(training(step), 0).random.stream);
      }
    }
  }
  EXPECT_EQ(streams.size(), 4u * 48u * 100u);
}

TEST(DropoutMasks, TheGradientPassesWhereTheValueDoes) {
  const Dropout layer(kProbability, "here");
  const Variable x(Tensor::full({kRows, kColumns}, 1.0), true);
  const Variable y = layer.forward(x, training());
  backward(sum(y));
  EXPECT_TRUE(bitwise_equal(x.gradient(), y.value()));  // both are the mask times its scale
}

TEST(DropoutMasks, TheTokenMaskIsTheLayersOwn) {
  const Dropout layer(kProbability, "here");
  ForwardContext context = training();
  context.first_sequence = 3;
  const Tensor x = reference::random_tensor({48, 24}, DType::Float64, 1);
  const Tensor residual = reference::random_tensor({48, 24}, DType::Float64, 2);
  const Matrix expected =
      to_matrix(residual) + to_matrix(layer.forward(Variable(x), context).value());
  const Variable y = dropout_add(Variable(x), Variable(residual), layer.token_mask(context, 24));
  EXPECT_LT(reference::relative_difference(y.value(), expected), 1e-15);
  const Variable plain = dropout_add(Variable(x), Variable(residual), layer.token_mask({}, 24));
  EXPECT_LT(
      reference::relative_difference(plain.value(), Matrix(to_matrix(residual) + to_matrix(x))),
      1e-15);
}

TEST(DropoutMasks, NothingIsCopiedWhenNothingIsDropped) {
  const Variable x(Tensor::full({16, 24}, 1.0));
  EXPECT_TRUE(Dropout(0.3, "here").forward(x, {}).value().shares_storage_with(x.value()));
  EXPECT_TRUE(Dropout(0.0, "here").forward(x, training()).value().shares_storage_with(x.value()));
}

}  // namespace
}  // namespace shardgrad
