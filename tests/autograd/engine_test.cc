// backward(): graphs of every form, and what it refuses.
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/dropout.h"
#include "autograd/functions/gelu.h"
#include "autograd/functions/linear.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::bitwise_equal;
using reference::Matrix;
using reference::relative_difference;
using ::testing::HasSubstr;

// A function whose backward pass counts its calls.
Variable counted(const Variable& x, int& calls) {
  return record("counted", {x}, x.value().clone(), [&calls](Gradients& gradients) {
    ++calls;
    gradients.add(0, gradients.output());
  });
}

TEST(EngineTest, FanOut) {
  // Consumers that may work in place on the gradient they share, in both orders.
  for (bool swapped : {false, true}) {
    expect_gradients_match(
        [swapped](const Inputs& in) {
          const Variable left = gelu(in[0]), right = scale(in[0], 3.0);
          return swapped ? add(right, left) : add(left, right);
        },
        {random64({5, 3}, 1)});
  }
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable x = gelu(in[0]);
        const Variable three = add(add(scale(x, 2.0), gelu(x)), dropout(x, {0.3, {1, 2}, 0}));
        return add(three, x);
      },
      {random64({5, 3}, 1)});
}

TEST(EngineTest, Diamonds) {
  expect_gradients_match(
      [](const Inputs& in) {
        Variable x = in[0];
        for (int level = 0; level < 4; ++level) x = add(gelu(x), scale(x, -0.5));
        return x;
      },
      {random64({5, 3}, 1)});
  // A short and a long way to the same value: it must wait for the long one.
  expect_gradients_match(
      [](const Inputs& in) {
        const Variable x = gelu(in[0]);
        Variable far = x;
        for (int step = 0; step < 5; ++step) far = gelu(scale(far, 1.5));
        return add(add(x, far), gelu(x));
      },
      {random64({5, 3}, 1)});
}

// Each operation runs once, with the sum of what its consumers give: 2^20 paths, 20 calls.
TEST(EngineTest, EachOperationRunsOnce) {
  int calls = 0;
  Variable leaf(Tensor::full({1}, 1.0, DType::Float64), true);
  Variable x = leaf;
  for (int level = 0; level < 20; ++level) {
    x = counted(x, calls);
    x = add(x, x);
  }
  backward(x);
  EXPECT_EQ(calls, 20);
  EXPECT_EQ(leaf.gradient().item(), 1048576.0);
}

TEST(EngineTest, BranchesThatDoNotLeadToTheLoss) {
  int calls = 0;
  Variable x(random64({5, 3}, 1), true), unused(random64({5, 3}, 2), true);
  const Variable shared = scale(x, 2.0);
  const Variable aside = counted(add(gelu(shared), unused), calls);
  const Variable loss = sum(scale(shared, 3.0));
  const Variable later = counted(shared, calls);
  backward(loss);
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(5, 3, 6.0)), 0.0);
  EXPECT_FALSE(unused.gradient().defined());
  EXPECT_EQ(calls, 0);
}

// The gradient of a consumer that passes none on.
TEST(EngineTest, OperationsThatPassNothingOn) {
  int calls = 0;
  Variable x(random64({5, 3}, 1), true), y(random64({5, 3}, 2), true);
  const Variable stopped =
      record("stop", {counted(x, calls)}, x.value().clone(), [](Gradients&) {});
  backward(sum(add(stopped, y)));
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(x.gradient().defined());
  EXPECT_EQ(relative_difference(y.gradient(), Matrix::Ones(5, 3)), 0.0);
}

TEST(EngineTest, InputsThatNeedNoGradient) {
  const Variable constant(random64({5, 3}, 1));
  EXPECT_FALSE(add(constant, gelu(constant)).requires_grad());
  Variable x(random64({5, 3}, 2), true);
  bool asked = false;
  const Variable y = record("ask", {constant, x}, x.value().clone(), [&](Gradients& gradients) {
    asked = true;
    EXPECT_FALSE(gradients.needed(0));
    EXPECT_TRUE(gradients.needed(1));
    EXPECT_EQ(error_of([&] { gradients.target(0); }),
              "[ask] the gradient of input 0 is not needed");
    gradients.add(0, random64({5, 3}, 3));  // of no interest to anybody
    gradients.add(1, gradients.output());
  });
  backward(sum(y));
  EXPECT_TRUE(asked);
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Ones(5, 3)), 0.0);
}

TEST(EngineTest, Seed) {
  Variable x(random64({5, 3}, 1), true), y(x.value().clone(), true);
  backward(sum(gelu(x)), -0.25);
  backward(scale(sum(gelu(y)), -0.25));
  EXPECT_LT(relative_difference(x.gradient(), y.gradient()), 1e-15);
  EXPECT_GT(reference::to_matrix(x.gradient()).norm(), 0.1);
}

// A loss of one element need not be of rank 1.
TEST(EngineTest, LossShapes) {
  Variable x(Tensor::full({1, 1}, 2.0, DType::Float64), true);
  backward(scale(x, 3.0));
  backward(reshape(scale(x, 5.0), {}));
  EXPECT_EQ(x.gradient().shape(), (Shape{1, 1}));
  EXPECT_EQ(x.gradient().item(), 8.0);
}

TEST(EngineTest, RefusesWhatItCannotDifferentiate) {
  Variable x(random64({5, 3}, 1), true);
  EXPECT_EQ(error_of([&] { backward(gelu(x)); }),
            "[backward] the loss has shape [5, 3]; expected one element");
  EXPECT_THAT(error_of([] { backward(Variable()); }), HasSubstr("the loss has shape undefined"));
  EXPECT_THAT(error_of([] { backward(sum(Variable(random64({3}, 1)))); }),
              HasSubstr("depends on nothing that requires a gradient"));
  EXPECT_FALSE(x.gradient().defined());
}

TEST(EngineTest, AGraphServesOnce) {
  Variable x(random64({5, 3}, 1), true);
  const Variable shared = gelu(x);
  const Variable loss = sum(shared), other = sum(scale(shared, 2.0));
  backward(loss);
  const Tensor first = x.gradient().clone();
  EXPECT_THAT(error_of([&] { backward(loss); }),
              HasSubstr("operation sum has already been differentiated"));
  EXPECT_THAT(error_of([&] { backward(other); }),
              HasSubstr("operation gelu has already been differentiated"));
  EXPECT_THAT(error_of([&] { backward(sum(add(shared, x))); }), HasSubstr("gelu"));
  EXPECT_TRUE(bitwise_equal(x.gradient(), first));  // a refused call changes nothing
}

TEST(EngineTest, NoGradGuard) {
  Variable x(random64({5, 3}, 1), true);
  {
    const NoGradGuard outer;
    EXPECT_FALSE(gelu(x).requires_grad());
    {
      const NoGradGuard inner;
      EXPECT_FALSE(gelu(x).requires_grad());
    }
    const Variable loss = sum(x);
    EXPECT_FALSE(loss.requires_grad());
    EXPECT_THAT(error_of([&] { backward(loss); }), HasSubstr("NoGradGuard"));
    // Other threads go on recording.
    bool elsewhere = false;
    std::thread([&] { elsewhere = gelu(x).requires_grad(); }).join();
    EXPECT_TRUE(elsewhere);
    // What was recorded before can be differentiated.
  }
  const Variable y = gelu(x);
  EXPECT_TRUE(y.requires_grad());
  const Variable loss = sum(y);
  const NoGradGuard guard;
  backward(loss);
  EXPECT_TRUE(x.gradient().defined());
}

// From several results that share what is below them; one of them is a leaf, one is given twice.
TEST(EngineTest, BackwardWithinStartsFromSeveralResults) {
  const Tensor dy = random64({5, 3}, 3), dz = random64({5, 3}, 4);
  Variable x(random64({5, 3}, 1), true), y(random64({5, 3}, 2), true);
  int hooks = 0;
  x.on_gradient_ready([&] { ++hooks; });
  const Variable shared = gelu(x);
  backward_within({scale(shared, 2.0), y, add(shared, y), y}, {dy, dz, dy, dy}, {x});
  EXPECT_EQ(hooks, 0);
  EXPECT_LT(relative_difference(y.gradient(),
                                Matrix(reference::to_matrix(dz) + 2.0 * reference::to_matrix(dy))),
            1e-15);
  Variable other(x.value(), true);
  backward(record("three", {gelu(other)}, Tensor::zeros({1}), [&](Gradients& gradients) {
    gradients.add(0, reference::to_tensor(3.0 * reference::to_matrix(dy), DType::Float64));
  }));
  EXPECT_LT(relative_difference(x.gradient(), other.gradient()), 1e-15);
}

TEST(EngineTest, BackwardWithinRefusesWhatItCannotDifferentiate) {
  Variable x(random64({5, 3}, 1), true);
  const Tensor dy = random64({5, 3}, 2);
  EXPECT_EQ(error_of([&] {
              backward_within({x, x}, {dy}, {});
            }),
            "[backward_within] there are 2 outputs and 1 gradients; expected one for each");
  EXPECT_THAT(error_of([&] { backward_within({Variable(dy)}, {dy}, {}); }),
              HasSubstr("depends on nothing that requires a gradient"));
  EXPECT_EQ(error_of([&] { backward_within({gelu(x)}, {random64({3}, 1)}, {}); }),
            "[backward] the gradient of input 0 is float64 [3] on cpu; expected float64 [5, 3] on "
            "cpu");
  EXPECT_FALSE(x.gradient().defined());
}

TEST(EngineTest, RecordingGuard) {
  Variable x(random64({1}, 1), true);
  bool without = true, with = false;
  backward(record("probe", {x}, x.value().clone(), [&](Gradients&) {
    without = is_recording();
    {
      const RecordingGuard recording;
      with = gelu(x).requires_grad();
    }
    without = without || is_recording();
  }));
  EXPECT_FALSE(without);
  EXPECT_TRUE(with);
  EXPECT_TRUE(is_recording());
}

// backward() itself records nothing, and leaves recording as it was, also when it fails.
TEST(EngineTest, BackwardRecordsNothing) {
  Variable x(random64({1}, 1), true);
  bool recorded = true;
  backward(record("probe", {x}, x.value().clone(),
                  [&](Gradients&) { recorded = gelu(x).requires_grad(); }));
  EXPECT_FALSE(recorded);
  EXPECT_TRUE(gelu(x).requires_grad());
  const Variable fails = record("fail", {x}, x.value().clone(), [](Gradients& gradients) {
    gradients.add(0, Tensor::zeros({2}, DType::Float64));
  });
  EXPECT_EQ(error_of([&] { backward(fails); }),
            "[fail] the gradient of input 0 is float64 [2] on cpu; expected float64 [1] on cpu");
  EXPECT_TRUE(gelu(x).requires_grad());
}

}  // namespace
}  // namespace shardgrad
