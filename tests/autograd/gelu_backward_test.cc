// The two ways back through a GELU: alone, and together with its value, for the operation behind it
// that asks for this last. The second writes into memory that must be nobody else's.
#include <gtest/gtest.h>

#include <algorithm>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/gelu.h"
#include "tensor/operation_times.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::bitwise_equal;
using reference::random_tensor;

// Of one backward pass, how often each of GELU's kernels ran.
struct Calls {
  std::int64_t value, gradient, both;
  bool operator==(const Calls& other) const {
    return value == other.value && gradient == other.gradient && both == other.both;
  }
};

std::ostream& operator<<(std::ostream& out, const Calls& calls) {
  return out << calls.value << " of the value, " << calls.gradient << " of the gradient, "
             << calls.both << " of both";
}

Calls calls_of_backward(const Variable& y) {
  const Variable loss = sum(y);
  const OperationTimes times;
  backward(loss);
  const auto count = [&](const std::string& name) {
    return std::count_if(times.calls().begin(), times.calls().end(),
                         [&](const OperationCall& call) { return call.name == name; });
  };
  return {count("gelu_forward"), count("gelu_backward"), count("gelu_backward_and_value")};
}

// x [7, 5], into [6, 5], bias [6], out_of [6, 6].
Inputs leaves(DType dtype) {
  return {Variable(random_tensor({7, 5}, dtype, 1), true),
          Variable(random_tensor({6, 5}, dtype, 2), true),
          Variable(random_tensor({6}, dtype, 3), true),
          Variable(random_tensor({6, 6}, dtype, 4), true)};
}

Variable hidden(const Inputs& in) { return linear(in[0], in[1], in[2]); }

// What is made of g = gelu(h), and the calls when nobody holds h and when the caller does.
struct Use {
  const char* name;
  Variable (*of)(const Variable& h, const Inputs& in, GeluKind kind);
  Calls calls, calls_when_held;
};

// Takes a gradient over a border at the end of the backward function, as a column-parallel layer.
const InputRegion kCrossedBack{{}, [](Tensor dx) { return [dx = std::move(dx)] { return dx; }; }};

const Use kUses[] = {
    {"a projection",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       return linear(gelu(h, kind), in[3]);
     },
     {0, 0, 1},
     {1, 1, 0}},
    {"no projection",
     [](const Variable& h, const Inputs&, GeluKind kind) { return gelu(h, kind); },
     {0, 1, 0},
     {0, 1, 0}},
    {"two projections, of which the second to run is the last to ask",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       const Variable g = gelu(h, kind);
       return add(linear(g, in[3]), scale(linear(g, in[3]), 0.5));
     },
     {1, 0, 1},
     {2, 1, 0}},
    {"a projection that runs before another consumer",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       const Variable g = gelu(h, kind);
       return add(scale(g, 2.0), linear(g, in[3]));
     },
     {1, 1, 0},
     {1, 1, 0}},
    {"a projection that runs after another consumer, which has handed on a gradient it shares",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       const Variable g = gelu(h, kind);
       return add(linear(g, in[3]), g);
     },
     {0, 0, 1},
     {1, 1, 0}},
    {"both operands of a product",
     [](const Variable& h, const Inputs&, GeluKind kind) {
       const Variable g = gelu(h, kind);
       return linear(g, g);
     },
     {1, 1, 0},
     {1, 1, 0}},
    {"a weight",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       return linear(in[3], gelu(h, kind));
     },
     {0, 1, 0},
     {0, 1, 0}},
    {"a projection whose weight is a constant",
     [](const Variable& h, const Inputs&, GeluKind kind) {
       const Tensor weight = random_tensor({6, 6}, h.value().dtype(), 5);
       return linear(gelu(h, kind), Variable(weight));
     },
     {0, 1, 0},
     {0, 1, 0}},
    {"a projection that adds its gradient at the end, after another consumer",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       const Variable g = gelu(h, kind);
       return add(linear(g, in[3], {}, kCrossedBack), g);
     },
     {1, 1, 0},
     {1, 1, 0}},
    {"two GELUs of the same, of which the second to run is the last to read it",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       return add(linear(gelu(h, kind), in[3]), linear(gelu(h, kind), in[3]));
     },
     {1, 1, 1},
     {2, 2, 0}},
    {"one GELU behind another",
     [](const Variable& h, const Inputs& in, GeluKind kind) {
       return linear(gelu(gelu(h, kind), kind), in[3]);
     },
     {0, 1, 1},
     {0, 1, 1}},
};

// Either way the gradients have the same bits, and what the caller holds keeps its own.
TEST(GeluBackwardTest, GradientsDoNotDependOnTheWay) {
  for (const Use& use : kUses) {
    for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
      for (const DType dtype : {DType::Float64, DType::Float32, DType::BFloat16}) {
        SCOPED_TRACE(::testing::Message() << use.name << ", " << name_of(dtype));
        const Inputs alone = leaves(dtype);
        const Variable y = use.of(hidden(alone), alone, kind);
        EXPECT_EQ(calls_of_backward(y), use.calls);

        const Inputs holding = leaves(dtype);
        const Variable h = hidden(holding);
        const Tensor before = h.value().clone();
        EXPECT_EQ(calls_of_backward(use.of(h, holding, kind)), use.calls_when_held);
        EXPECT_TRUE(bitwise_equal(h.value(), before));

        for (std::size_t i = 0; i < alone.size(); ++i) {
          ASSERT_EQ(alone[i].gradient().defined(), holding[i].gradient().defined()) << i;
          if (!alone[i].gradient().defined()) continue;
          EXPECT_TRUE(bitwise_equal(alone[i].gradient(), holding[i].gradient())) << i;
        }
      }
    }
  }
}

TEST(GeluBackwardTest, GradientsAreThoseOfTheFunction) {
  const std::vector<Tensor> inputs{random64({7, 5}, 1), random64({6, 5}, 2), random64({6}, 3),
                                   random64({6, 6}, 4)};
  for (const Use& use : kUses) {
    SCOPED_TRACE(use.name);
    for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
      // in[3] counts also where `use` does not.
      expect_gradients_match(
          [&](const Inputs& in) {
            return add(sum(use.of(hidden(in), in, kind)), sum(gelu(in[3], kind)));
          },
          inputs);
    }
  }
}

// Whatever handle the caller has: on the input, a view of it, its memory under another variable, or
// the result.
TEST(GeluBackwardTest, WhatTheCallerHoldsIsNotOverwritten) {
  const Inputs in = leaves(DType::Float32);
  const auto output = [&](const Variable& g) { return linear(g, in[3]); };
  {
    const Variable h = hidden(in);
    const Tensor view = h.value().slice(1, 2, 3);
    const Tensor before = view.clone();
    const Variable y = output(gelu(std::move(h)));
    EXPECT_EQ(calls_of_backward(y), (Calls{1, 1, 0}));
    EXPECT_TRUE(bitwise_equal(view.clone(), before));
  }
  {
    Variable h = hidden(in);
    const Variable flat = reshape(h, {42});
    const Tensor before = flat.value().clone();
    const Variable g = gelu(h);
    h = Variable();
    EXPECT_EQ(calls_of_backward(output(g)), (Calls{1, 1, 0}));
    EXPECT_TRUE(bitwise_equal(flat.value(), before));
  }
  {
    const Variable leaf(random_tensor({7, 6}, DType::Float32, 5), true);
    const Tensor before = leaf.value().clone();
    EXPECT_EQ(calls_of_backward(output(gelu(leaf))), (Calls{1, 1, 0}));
    EXPECT_TRUE(bitwise_equal(leaf.value(), before));
  }
  for (const bool fused_forward : {false, true}) {
    const Variable g =
        fused_forward ? linear_gelu(in[0], in[1], in[2], GeluKind::Tanh) : gelu(hidden(in));
    const Tensor before = g.value().clone();
    const Variable y = output(g);
    const Tensor y_before = y.value().clone();
    EXPECT_EQ(calls_of_backward(y), (Calls{0, 0, 1}));
    EXPECT_TRUE(bitwise_equal(g.value(), before));
    EXPECT_TRUE(bitwise_equal(y.value(), y_before));
  }
}

// Nor what somebody else has of the gradient.
TEST(GeluBackwardTest, AGradientThatSomebodyHoldsIsNotOverwritten) {
  const Inputs in = leaves(DType::Float64), expected = leaves(DType::Float64);
  Tensor held, before;
  // Hands its output's gradient on, and keeps it.
  const auto watched = [&](const Variable& x) {
    return record("watched", {x}, x.value().clone(), [&](Gradients& gradients) {
      held = gradients.output();
      before = held.clone();
      gradients.add(0, gradients.output());
    });
  };
  const auto use = [](const Inputs& in, const Variable& g, const Variable& also) {
    return add(linear(g, in[3]), also);
  };
  const Variable g = gelu(hidden(in));
  backward(sum(use(in, g, watched(g))));
  EXPECT_TRUE(bitwise_equal(held, before));
  const Variable other = gelu(hidden(expected));
  backward(sum(use(expected, other, other)));
  for (std::size_t i = 0; i < in.size(); ++i) {
    EXPECT_TRUE(bitwise_equal(in[i].gradient(), expected[i].gradient())) << i;
  }
}

// A result that is also one of the results from which the pass starts has a gradient from outside.
TEST(GeluBackwardTest, AResultWithAGradientFromOutside) {
  const Inputs in = leaves(DType::Float64), expected = leaves(DType::Float64);
  const Tensor dg = random64({7, 6}, 8), dy = random64({7, 6}, 9);
  const Tensor dg_before = dg.clone();
  const Variable g = gelu(hidden(in));
  backward_within({g, linear(g, in[3])}, {dg, dy}, {});
  EXPECT_TRUE(bitwise_equal(dg, dg_before));
  const Variable h = hidden(expected), other = gelu(h);
  backward_within({other, linear(other, expected[3])}, {dg, dy}, {});
  for (std::size_t i = 0; i < in.size(); ++i) {
    EXPECT_TRUE(bitwise_equal(in[i].gradient(), expected[i].gradient())) << i;
  }
}

}  // namespace
}  // namespace shardgrad
