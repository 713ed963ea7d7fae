// Recomputed functions: gradients, their bits, how often what runs, and the memory that it is for.
#include "autograd/functions/recompute.h"

#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/dropout.h"
#include "autograd/functions/gelu.h"
#include "autograd/functions/layer_norm.h"
#include "autograd/functions/linear.h"
#include "tensor/allocator.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::bitwise_equal;
using reference::Matrix;
using reference::relative_difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Recomputed or not, by a flag.
std::vector<Variable> run(bool again, const RecomputedFunction& function, Inputs inputs,
                          const std::vector<Variable>& parameters) {
  return again ? recompute(function, std::move(inputs), parameters) : function(std::move(inputs));
}

// Two streams in, two out, which share what lies between; with dropout, in place where it may be.
RecomputedFunction two_streams(const Variable& weight, const Variable& gamma,
                               const Variable& beta) {
  return [=](Inputs in) {
    auto [sum, normalized] =
        residual_layer_norm(std::move(in[1]), in[0], {0.3, {3, 4}, 0}, gamma, beta);
    Variable branch = linear(gelu(linear(normalized, weight)), weight);
    return std::vector<Variable>{sum, add(branch, dropout(normalized, {0.2, {5, 6}, 0}))};
  };
}

TEST(RecomputeTest, GradientsWithSeveralInputsAndResults) {
  expect_gradients_match(
      [](const Inputs& in) {
        const auto function = two_streams(in[2], in[3], in[4]);
        std::vector<Variable> streams{gelu(in[0]), scale(in[1], 1.5)};
        for (int layer = 0; layer < 2; ++layer) {
          streams = recompute(function, std::move(streams), {in[2], in[3], in[4]});
        }
        return add(gelu(streams[0]), streams[1]);
      },
      {random64({5, 4}, 1), random64({5, 4}, 2), random64({4, 4}, 3), random64({4}, 4),
       random64({4}, 5)});
}

TEST(RecomputeTest, ChangesNoBitInAnyPrecision) {
  for (const DType dtype : {DType::Float64, DType::Float32, DType::BFloat16}) {
    std::vector<Tensor> results[2];
    for (const bool again : {false, true}) {
      const auto leaf = [&](const Shape& shape, std::uint64_t seed) {
        return Variable(random64(shape, seed).to(dtype), true);
      };
      Variable leaves[] = {leaf({9, 16}, 1), leaf({9, 16}, 2), leaf({16, 16}, 3), leaf({16}, 4),
                           leaf({16}, 5)};
      std::vector<Variable> streams{scale(leaves[0], 1.5), scale(leaves[1], 0.5)};
      for (int layer = 0; layer < 3; ++layer) {
        streams = run(again, two_streams(leaves[2], leaves[3], leaves[4]), std::move(streams),
                      {leaves[2], leaves[3], leaves[4]});
      }
      // In this order, in which the gradient from outside comes to the first stream before that
      // from within, as it does with recomputation.
      const Variable loss = sum(add(streams[1], gelu(streams[0])));
      results[again].push_back(loss.value());
      backward(loss);
      for (const Variable& each : leaves) results[again].push_back(each.gradient());
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_TRUE(bitwise_equal(results[0][i], results[1][i])) << name_of(dtype) << " " << i;
      EXPECT_NE(reference::to_matrix(results[0][i]).norm(), 0.0);
    }
  }
}

TEST(RecomputeTest, ResultsThatNobodyUsesAndInputsThatNeedNoGradient) {
  const Variable constant(random64({5, 4}, 1));
  for (int used : {0, 1, 2}) {
    Tensor gradients[2];
    for (const bool again : {false, true}) {
      Variable x(random64({5, 4}, 2), true);
      const std::vector<Variable> results = run(
          again,
          [](Inputs in) {
            return std::vector<Variable>{gelu(in[1]), scale(in[0], 2.0), add(in[0], in[1]), in[1]};
          },
          {constant, x}, {});
      // One node stands for all results.
      EXPECT_EQ(results[1].requires_grad(), again);
      // The second of the results does not depend on x; the last one is an input itself.
      const Variable loss = used == 0   ? sum(results[0])
                            : used == 1 ? sum(add(results[1], scale(results[2], 3.0)))
                                        : sum(add(results[3], gelu(results[3])));
      backward(loss);
      gradients[again] = x.gradient();
    }
    EXPECT_TRUE(bitwise_equal(gradients[0], gradients[1])) << used;
  }
}

TEST(RecomputeTest, RunsOnceForwardAndOnceBackwardIfAGradientComes) {
  std::vector<bool> recorded;  // at each run
  const RecomputedFunction function = [&](Inputs in) {
    recorded.push_back(is_recording());
    return std::vector<Variable>{gelu(in[0]), scale(in[0], 2.0)};
  };
  Variable x(random64({5, 4}, 1), true);
  std::vector<Variable> results = recompute(function, {x}, {});
  EXPECT_THAT(recorded, ElementsAre(false));
  backward(sum(add(results[0], results[1])));
  EXPECT_THAT(recorded, ElementsAre(false, true));
  EXPECT_TRUE(is_recording());
  EXPECT_THAT(error_of([&] { backward(sum(results[1])); }), HasSubstr("already"));
  recorded.clear();
  results = recompute(function, {x}, {});
  backward(record("stop", {results[0]}, Tensor::zeros({1}), [](Gradients&) {}));
  EXPECT_THAT(recorded, ElementsAre(false));
}

TEST(RecomputeTest, RecordsNothingUnderNoGradGuard) {
  const NoGradGuard no_grad;
  Variable x(random64({5, 4}, 1), true);
  const auto results =
      recompute([](Inputs in) { return std::vector<Variable>{gelu(in[0])}; }, {x}, {x});
  EXPECT_FALSE(results[0].requires_grad());
  EXPECT_TRUE(bitwise_equal(results[0].value(), gelu(x).value()));
}

// A weight of two recomputed functions that is used before, between and behind them too: its hook
// is called once, when all of them have added to its gradient.
TEST(RecomputeTest, HooksAreCalledOnceWithTheCompleteGradient) {
  Variable shared(random64({4, 4}, 1), true), own(random64({4, 4}, 2), true);
  std::vector<std::string> calls;
  Tensor shared_then, own_then;
  shared.on_gradient_ready([&] {
    calls.push_back("shared");
    shared_then = shared.gradient().clone();
  });
  own.on_gradient_ready([&] {
    calls.push_back("own");
    own_then = own.gradient().clone();
  });
  const auto loss_of = [&](bool again) {
    const RecomputedFunction first = [&](Inputs in) {
      return std::vector<Variable>{gelu(linear(in[0], shared))};
    };
    const RecomputedFunction second = [&](Inputs in) {
      return std::vector<Variable>{gelu(linear(linear(in[0], own), shared))};
    };
    Variable y = linear(Variable(random64({3, 4}, 3)), shared);
    y = linear(run(again, first, {y}, {shared})[0], shared);
    return sum(linear(run(again, second, {y}, {own, shared})[0], shared));
  };
  backward(loss_of(true));
  EXPECT_THAT(calls, ElementsAre("own", "shared"));
  EXPECT_TRUE(bitwise_equal(shared_then, shared.gradient()));
  EXPECT_TRUE(bitwise_equal(own_then, own.gradient()));
  shared.clear_gradient();
  own.clear_gradient();
  backward(loss_of(false));
  EXPECT_LT(relative_difference(shared_then, shared.gradient()), 1e-14);
  EXPECT_TRUE(bitwise_equal(own_then, own.gradient()));
}

TEST(RecomputeTest, AParameterWithHooksThatWasLeftOutIsAnError) {
  Variable x(random64({3, 4}, 1), true), weight(random64({4, 4}, 2), true);
  const auto loss = [&] {
    return sum(recompute([&](Inputs in) { return std::vector<Variable>{linear(in[0], weight)}; },
                         {x}, {})[0]);
  };
  backward(loss());  // without a hook nobody has to know when
  EXPECT_TRUE(weight.gradient().defined());
  weight.on_gradient_ready([] {});
  EXPECT_THAT(error_of([&] { backward(loss()); }),
              HasSubstr("a leaf of shape [4, 4] has hooks but is not among the 0 leaves"));
}

TEST(RecomputeTest, NestsInItself) {
  Tensor gradients[2];
  for (const bool again : {false, true}) {
    Variable x(random64({5, 4}, 1), true), weight(random64({4, 4}, 2), true);
    const RecomputedFunction inner = [&](Inputs in) {
      return std::vector<Variable>{gelu(linear(in[0], weight))};
    };
    const RecomputedFunction outer = [&](Inputs in) {
      return run(again, inner, run(again, inner, std::move(in), {weight}), {weight});
    };
    backward(sum(run(again, outer, {x}, {weight})[0]));
    gradients[again] = weight.gradient();
  }
  EXPECT_TRUE(bitwise_equal(gradients[0], gradients[1]));
}

// Sixteen groups of four GELUs, of which each keeps its input: 64 tensors, or with recomputation
// the groups' inputs and those of one group.
TEST(RecomputeTest, PeakMemoryFalls) {
  constexpr std::int64_t kBytes = 64 * 1024 * 8;
  std::int64_t peaks[2];
  for (const bool again : {false, true}) {
    Variable x(random64({64, 1024}, 1), true);
    CachingAllocator& allocator = allocator_for(Device{});
    const std::int64_t before = allocator.stats().bytes_in_use;
    allocator.reset_peak();
    std::vector<Variable> y{x};
    for (int group = 0; group < 16; ++group) {
      y = run(
          again,
          [](Inputs in) { return std::vector<Variable>{gelu(gelu(gelu(gelu(std::move(in[0])))))}; },
          std::move(y), {});
    }
    Variable loss = sum(y[0]);
    y.clear();
    backward(loss);
    peaks[again] = (allocator.stats().peak_bytes_in_use - before) / kBytes;
  }
  EXPECT_GE(peaks[0], 64);
  EXPECT_LE(peaks[1], 16 + 4 + 4);  // gradients and what a function works with on top
}

}  // namespace
}  // namespace shardgrad
