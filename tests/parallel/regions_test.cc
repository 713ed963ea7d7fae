// The four regions: values on two and four ranks, and that each backward pass is the adjoint of its
// forward pass.
#include "parallel/regions.h"

#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "parallel/launch.h"
#include "tests/support/backward_from.h"
#include "tests/support/error_of.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;

constexpr std::int64_t kRows = 5, kColumns = 12;

Tensor random64(const Shape& shape, std::uint64_t seed) {
  return random_tensor(shape, DType::Float64, seed);
}

// What rank r puts in: its own numbers, so that a wrong rank shows.
Tensor input_of(int rank, std::int64_t columns = kColumns) {
  return random64({kRows, columns}, 100 + rank);
}

// The gradient that arrives at the input when `weights` arrives at the output of `function`.
Tensor gradient_through(Variable (*function)(Variable, Communicator&), const Tensor& x,
                        const Tensor& weights, Communicator& world) {
  Variable leaf(x, true);
  backward_from(function(scale(leaf, 1.0), world), weights);
  return leaf.gradient();
}

class RegionsTest : public ::testing::TestWithParam<int> {};

TEST_P(RegionsTest, CopyIsTheIdentityAndReducesTheGradient) {
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const Tensor x = input_of(world.rank());
    EXPECT_TRUE(reference::bitwise_equal(copy_to_tensor_parallel(Variable(x), world).value(), x));
    Matrix sum = Matrix::Zero(kRows, kColumns);
    for (int rank = 0; rank < world.world_size(); ++rank) sum += to_matrix(input_of(rank));
    const Tensor gradient = gradient_through(
        copy_to_tensor_parallel, random64({kRows, kColumns}, 1), input_of(world.rank()), world);
    EXPECT_LT(relative_difference(gradient, sum), 1e-15);
  });
}

TEST_P(RegionsTest, ReduceSumsAndPassesTheGradientOn) {
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    Matrix sum = Matrix::Zero(kRows, kColumns);
    for (int rank = 0; rank < world.world_size(); ++rank) sum += to_matrix(input_of(rank));
    const Tensor x = input_of(world.rank());
    EXPECT_LT(relative_difference(reduce_from_tensor_parallel(Variable(x), world).value(), sum),
              1e-15);
    EXPECT_TRUE(reference::bitwise_equal(x, input_of(world.rank())))
        << "a tensor that somebody else holds was reduced in place";
    const Tensor weights = random64({kRows, kColumns}, 2);
    EXPECT_TRUE(reference::bitwise_equal(
        gradient_through(reduce_from_tensor_parallel, x, weights, world), weights));
  });
}

TEST_P(RegionsTest, ScatterTakesAPartAndGathersTheGradient) {
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const std::int64_t part = kColumns / world.world_size();
    const Tensor x = random64({kRows, kColumns}, 3), weights = input_of(world.rank(), part);
    EXPECT_EQ(relative_difference(scatter_to_tensor_parallel(Variable(x), world).value(),
                                  Matrix(to_matrix(x).middleCols(world.rank() * part, part))),
              0.0);
    Matrix all(kRows, kColumns);
    for (int rank = 0; rank < world.world_size(); ++rank) {
      all.middleCols(rank * part, part) = to_matrix(input_of(rank, part));
    }
    EXPECT_EQ(
        relative_difference(gradient_through(scatter_to_tensor_parallel, x, weights, world), all),
        0.0);
  });
}

TEST_P(RegionsTest, GatherJoinsThePartsAndSplitsTheGradient) {
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const std::int64_t part = kColumns / world.world_size();
    Matrix all(kRows, kColumns);
    for (int rank = 0; rank < world.world_size(); ++rank) {
      all.middleCols(rank * part, part) = to_matrix(input_of(rank, part));
    }
    const Tensor x = input_of(world.rank(), part), weights = random64({kRows, kColumns}, 4);
    EXPECT_EQ(relative_difference(gather_from_tensor_parallel(Variable(x), world).value(), all),
              0.0);
    EXPECT_EQ(relative_difference(gradient_through(gather_from_tensor_parallel, x, weights, world),
                                  Matrix(to_matrix(weights).middleCols(world.rank() * part, part))),
              0.0);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, RegionsTest, ::testing::Values(1, 2, 4));

// One gradient tensor reaches both inputs of an addition; the all-reduce of one must not change
// what the other sees.
TEST(Regions, AGradientThatIsSharedIsNotReducedInPlace) {
  run_ranks(2, 1, [](Communicator& world) {
    Variable a(random64({kRows, kColumns}, 1), true), b(random64({kRows, kColumns}, 2), true);
    backward(sum(add(copy_to_tensor_parallel(a, world), scale(b, 1.0))));
    EXPECT_EQ(relative_difference(a.gradient(), Matrix::Constant(kRows, kColumns, 2.0)), 0.0);
    EXPECT_EQ(relative_difference(b.gradient(), Matrix::Constant(kRows, kColumns, 1.0)), 0.0);
  });
}

TEST(Regions, ScatterSaysWhenTheRanksDoNotDivide) {
  EXPECT_EQ(
      error_of([] {
        run_ranks(2, 1, [](Communicator& world) {
          scatter_to_tensor_parallel(Variable(random64({2, 5}, 1)), world);
        });
      }),
      "[scatter_to_tensor_parallel] last extent 5 is not divisible by tp=2; choose tp from {1, 5}");
}

}  // namespace
}  // namespace shardgrad
