// Flat parameters, AdamW against a loop written out here, clipping, and the schedule.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/functions/arithmetic.h"
#include "nn/linear.h"
#include "nn/optim/adamw.h"
#include "nn/optim/learning_rate_schedule.h"
#include "tests/support/backward_from.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::random_tensor;
using reference::relative_difference;

constexpr ParameterOptions kFloat64{DType::Float64};

// A matrix [5, 3] after a bias [5], so that flattening has to reorder them.
class BiasFirst : public Module {
 public:
  BiasFirst()
      : bias(register_parameter("bias", ShardSpec::replicated({5}), Initializer::normal(1.0),
                                kFloat64)),
        weight(register_parameter("weight", ShardSpec::replicated({5, 3}), Initializer::normal(1.0),
                                  kFloat64)) {}
  ParameterPointer bias, weight;
};

TEST(FlatParameters, KeepsValuesAndPutsMatricesFirst) {
  const BiasFirst module;
  initialize_parameters(module, 1);
  const Tensor bias = module.bias->variable.value().clone();
  const Tensor weight = module.weight->variable.value().clone();
  FlatParameters flat(module.named_parameters());
  EXPECT_EQ(flat.parameters()[0].name, "weight");
  EXPECT_TRUE(bitwise_equal(module.bias->variable.value(), bias));
  EXPECT_TRUE(bitwise_equal(module.weight->variable.value(), weight));
  EXPECT_TRUE(module.bias->variable.value().shares_storage_with(flat.values()));
  EXPECT_EQ(flat.decayed_numel(), 16);  // 15 elements, to a whole cache line
  EXPECT_EQ(flat.numel(), 24);
  flat.values().fill(2.0);
  EXPECT_EQ(module.weight->variable.value().to_vector<double>(), std::vector<double>(15, 2.0));
  EXPECT_THROW(FlatParameters({}), Error);
}

// A parameter that one step reaches and the next does not must not keep its old gradient.
TEST(FlatParameters, AGradientThatIsNotReachedIsZero) {
  const BiasFirst module;
  initialize_parameters(module, 1);
  FlatParameters flat(module.named_parameters());
  backward(sum(module.bias->variable));
  flat.complete_gradients();
  EXPECT_EQ(flat.gradients().slice(0, 16, 5).to_vector<double>(), std::vector<double>(5, 1.0));
  EXPECT_EQ(flat.gradients().slice(0, 0, 16).to_vector<double>(), std::vector<double>(16, 0.0));
  backward(sum(module.bias->variable));  // accumulates
  EXPECT_EQ(flat.gradients().slice(0, 16, 5).to_vector<double>(), std::vector<double>(5, 2.0));
  flat.clear_gradients();
  backward(sum(module.weight->variable));
  flat.complete_gradients();
  EXPECT_EQ(flat.gradients().slice(0, 16, 5).to_vector<double>(), std::vector<double>(5, 0.0));
  EXPECT_EQ(flat.gradients().slice(0, 0, 15).to_vector<double>(), std::vector<double>(15, 1.0));
}

TEST(AdamW, EqualsTheFormulaAndDecaysMatricesOnly) {
  const BiasFirst module;
  initialize_parameters(module, 1);
  FlatParameters flat(module.named_parameters());
  const AdamWOptions options{0.8, 0.95, 1e-6, 0.3, /*max_gradient_norm=*/1.4};
  AdamW optimizer(flat, options);
  struct State {
    std::vector<double> value, m, v;
    double decay;
  };
  const auto start = [](const ParameterPointer& p, double decay) {
    const auto value = p->variable.value().to_vector<double>();
    return State{value, std::vector<double>(value.size()), std::vector<double>(value.size()),
                 decay};
  };
  State bias = start(module.bias, 0.0), weight = start(module.weight, 0.3);
  const double learning_rate = 0.05, clip = 0.7;
  for (int step = 1; step <= 5; ++step) {
    const Tensor dweight = random_tensor({5, 3}, DType::Float64, 10 + step);
    const Tensor dbias = random_tensor({5}, DType::Float64, 20 + step);
    backward_from(module.weight->variable, dweight);
    backward_from(module.bias->variable, dbias);
    const auto update = [&](State& state, const std::vector<double>& gradient) {
      for (std::size_t i = 0; i < state.value.size(); ++i) {
        const double g = clip * gradient[i];
        state.m[i] = 0.8 * state.m[i] + 0.2 * g;
        state.v[i] = 0.95 * state.v[i] + 0.05 * g * g;
        const double m = state.m[i] / (1 - std::pow(0.8, step));
        const double v = state.v[i] / (1 - std::pow(0.95, step));
        state.value[i] -= learning_rate * state.decay * state.value[i];
        state.value[i] -= learning_rate * m / (std::sqrt(v) + 1e-6);
      }
    };
    update(weight, dweight.to_vector<double>());
    update(bias, dbias.to_vector<double>());
    // 1.4 / 2.0 is the clip factor above.
    optimizer.step(learning_rate, Tensor::full({1}, 2.0, DType::Float64));
    flat.clear_gradients();
  }
  EXPECT_EQ(optimizer.steps(), 5);
  EXPECT_LT(
      relative_difference(module.weight->variable.value(), Tensor::from(weight.value, {5, 3})),
      1e-14);
  EXPECT_LT(relative_difference(module.bias->variable.value(), Tensor::from(bias.value, {5})),
            1e-14);
}

TEST(LearningRateSchedule, WarmsUpAndDecays) {
  const LearningRateSchedule schedule{1.0, 0.1, 10, 110};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(9), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(10), 1.0);
  EXPECT_NEAR(schedule.at(60), 0.55, 1e-12);
  EXPECT_NEAR(schedule.at(35), 0.1 + 0.45 * (1 + std::sqrt(0.5)), 1e-12);
  EXPECT_NEAR(schedule.at(110), 0.1, 1e-12);
  EXPECT_NEAR(schedule.at(500), 0.1, 1e-12);
  const auto at = [](ScheduleKind kind, std::int64_t step) {
    return LearningRateSchedule{1.0, 0.1, 10, 110, kind, 20}.at(step);
  };
  for (ScheduleKind kind :
       {ScheduleKind::Linear, ScheduleKind::Constant, ScheduleKind::WarmupStableDecay}) {
    EXPECT_DOUBLE_EQ(at(kind, 4), 0.5);
    EXPECT_DOUBLE_EQ(at(kind, 10), 1.0);
  }
  EXPECT_NEAR(at(ScheduleKind::Linear, 60), 0.55, 1e-12);
  EXPECT_NEAR(at(ScheduleKind::Linear, 110), 0.1, 1e-12);
  EXPECT_EQ(at(ScheduleKind::Constant, 500), 1.0);
  EXPECT_EQ(at(ScheduleKind::WarmupStableDecay, 90), 1.0);
  EXPECT_NEAR(at(ScheduleKind::WarmupStableDecay, 100), 0.55, 1e-12);
  EXPECT_NEAR(at(ScheduleKind::WarmupStableDecay, 500), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ((LearningRateSchedule{1.0, 0.1, 0, 1}.at(0)), 1.0);
}

}  // namespace
}  // namespace shardgrad
