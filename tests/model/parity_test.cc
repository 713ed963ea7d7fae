// The promise of the project: tp = 2 and 4 compute what tp = 1 computes, dropout on.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/model/training_run.h"

namespace shardgrad {
namespace {

using namespace training_run;

class ParityTest : public ::testing::TestWithParam<std::tuple<int, bool>> {};

TEST_P(ParityTest, Float64EqualsOneRank) {
  const auto [tp, tied] = GetParam();
  const TrainingRun one = train({1, DType::Float64, tied, 5}),
                    many = train({tp, DType::Float64, tied, 5});
  for (const auto& [name, tensor] : one.initial) {
    EXPECT_TRUE(reference::bitwise_equal(many.initial.at(name), tensor)) << name;
  }
  for (int step = 0; step < 5; ++step) {
    EXPECT_LT(relative(many.losses[step], one.losses[step]), 1e-9) << "step " << step;
    EXPECT_LT(relative(many.norms[step], one.norms[step]), 1e-9) << "step " << step;
    EXPECT_GT(one.norms[step], 0.5) << "the gradients of step " << step << " are not clipped";
  }
  for (const auto& [name, gradient] : many.gradients) {
    EXPECT_GT(reference::to_matrix(gradient).norm(), 0.0) << name << " does not learn";
  }
  expect_close(many.gradients, one.gradients, 1e-9);
  expect_close(many.parameters, one.parameters, 1e-9);
}

TEST_P(ParityTest, Float32EqualsOneRank) {
  const auto [tp, tied] = GetParam();
  const TrainingRun one = train({1, DType::Float32, tied, 20}),
                    many = train({tp, DType::Float32, tied, 20});
  EXPECT_LT(relative(many.losses[0], one.losses[0]), 1e-5);
  EXPECT_LT(relative(many.norms[0], one.norms[0]), 1e-5);
  expect_close(many.gradients, one.gradients, 1e-5);
  for (int step = 0; step < 20; ++step) {
    EXPECT_LT(relative(many.losses[step], one.losses[step]), 1e-4) << "step " << step;
    EXPECT_LT(relative(many.norms[step], one.norms[step]), 1e-4) << "step " << step;
  }
}

// bfloat16 has 8 significant bits: a rounding changes a number by up to 0.4 %. The learning rate is
// one at which runs that differ in their roundings stay together.
TEST_P(ParityTest, BFloat16FollowsFloat32OnAnyLayout) {
  const auto [tp, tied] = GetParam();
  const TrainingRun exact = train({1, DType::Float32, tied, 20, 1e-3}),
                    one = train({1, DType::BFloat16, tied, 20, 1e-3}),
                    many = train({tp, DType::BFloat16, tied, 20, 1e-3});
  for (const auto& [name, tensor] : one.initial) {
    EXPECT_TRUE(reference::bitwise_equal(many.initial.at(name), tensor)) << name;
  }
  for (const TrainingRun* run : {&one, &many}) {
    expect_close(run->gradients, exact.gradients, 0.03);
    for (int step = 0; step < 20; ++step) {
      EXPECT_LT(relative(run->losses[step], exact.losses[step]), 4e-3) << "step " << step;
    }
  }
}

TEST_P(ParityTest, TheSameRunTwiceIsBitwiseTheSame) {
  const auto [tp, tied] = GetParam();
  const TrainingRun first = train({tp, DType::Float32, tied, 3}),
                    second = train({tp, DType::Float32, tied, 3});
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.norms, second.norms);
  for (const auto& [name, tensor] : first.parameters) {
    EXPECT_TRUE(reference::bitwise_equal(second.parameters.at(name), tensor)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, ParityTest,
                         ::testing::Combine(::testing::Values(2, 4), ::testing::Bool()));

TEST(GPTModel, ARowThatIsHiddenWholeGivesFiniteNumbers) {
  run_ranks(2, 1, [](Communicator& world) {
    GPTModel model(small_config(true), world);
    initialize_parameters(model, 1);
    const Tensor ids = reference::random_ids({2, 9}, 0, 101, 1);
    Tensor mask = Tensor::full({2, 9}, 1, DType::Int32);
    mask.slice(0, 1, 1).fill(0);
    const GPTOutput output = model.forward(ids, mask, ids);
    EXPECT_EQ(output.logits.shape(), (Shape{2, 9, 101}));
    EXPECT_TRUE(std::isfinite(output.loss.value().item()));
    backward(output.loss);
    for (const auto& [name, parameter] : model.named_parameters()) {
      EXPECT_TRUE(reference::to_matrix(parameter->variable.gradient()).allFinite()) << name;
    }
  });
}

TEST(GPTModel, TheLossOfForwardIsThatOfShiftedTargets) {
  run_ranks(1, 1, [](Communicator& world) {
    GPTModel model(small_config(true), world, {DType::Float64});
    initialize_parameters(model, 1);
    const Tensor ids = reference::random_ids({2, 9}, 0, 101, 1);
    const double with_shift = model.forward(ids, {}, ids).loss.value().item();
    const double shifted =
        model.loss(ids.slice(1, 0, 8), ids.slice(1, 1, 8), ForwardContext{}).value().item();
    EXPECT_NEAR(with_shift, shifted, 1e-12);
  });
}

}  // namespace
}  // namespace shardgrad
