// Leaves: how their gradients are collected, in which memory, and when their hooks are called.
#include <gtest/gtest.h>

#include <string>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/embedding.h"
#include "autograd/functions/gelu.h"
#include "autograd/functions/layer_norm.h"
#include "autograd/functions/linear.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::random64;
using reference::bitwise_equal;
using reference::Matrix;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LeafTest, BackwardCallsAddUp) {
  Variable x(random64({5, 3}, 1), true);
  EXPECT_FALSE(x.gradient().defined());
  backward(sum(scale(x, 2.0)));
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(5, 3, 2.0)), 0.0);
  backward(sum(scale(x, 3.0)));
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(5, 3, 5.0)), 0.0);
  x.clear_gradient();
  EXPECT_FALSE(x.gradient().defined());
  backward(sum(scale(x, 7.0)));
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(5, 3, 7.0)), 0.0);
}

// Every way in which a function hands a gradient over: two calls give twice the gradient of one,
// and after clear_gradient() the gradient of one again.
TEST(LeafTest, EveryKindOfGradientAddsUp) {
  Variable table(random64({6, 4}, 1), true), gamma(random64({4}, 2), true),
      beta(random64({4}, 3), true), weight(random64({4, 4}, 4), true), bias(random64({4}, 5), true);
  const Tensor ids = Tensor::from<std::int32_t>({1, 5, 1}, {3});
  Variable* const leaves[] = {&table, &gamma, &beta, &weight, &bias};
  const auto step = [&] {
    const Variable x = gelu(layer_norm(embedding(ids, table), gamma, beta));
    backward(sum(gelu(add_bias(linear(x, weight, bias), bias))));
  };
  step();
  std::vector<Tensor> once;
  for (Variable* leaf : leaves) once.push_back(leaf->gradient().clone());
  step();
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_LT(relative_difference(leaves[i]->gradient(), Matrix(2.0 * to_matrix(once[i]))), 1e-14)
        << i;
    leaves[i]->clear_gradient();
  }
  step();
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_TRUE(bitwise_equal(leaves[i]->gradient(), once[i])) << i;
  }
}

// A leaf's gradient is its own memory: neither another leaf's, nor a tensor of the graph.
TEST(LeafTest, GradientsShareNoMemory) {
  Variable a(random64({5, 3}, 1), true), b(random64({5, 3}, 2), true);
  backward(sum(add(a, b)));
  EXPECT_FALSE(a.gradient().shares_storage_with(b.gradient()));
  a.gradient().fill(100.0);
  backward(sum(add(a, b)));
  EXPECT_EQ(relative_difference(a.gradient(), Matrix::Constant(5, 3, 101.0)), 0.0);
  EXPECT_EQ(relative_difference(b.gradient(), Matrix::Constant(5, 3, 2.0)), 0.0);
}

TEST(LeafTest, CopiesAreTheSameLeaf) {
  Variable x(random64({5, 3}, 1), true);
  const Variable copy = x;
  backward(sum(add(x, copy)));
  EXPECT_EQ(relative_difference(copy.gradient(), Matrix::Constant(5, 3, 2.0)), 0.0);
  x.clear_gradient();
  EXPECT_FALSE(copy.gradient().defined());
}

TEST(LeafTest, ALossThatIsALeaf) {
  Variable x(Tensor::full({1}, 3.0, DType::Float64), true);
  int calls = 0;
  x.on_gradient_ready([&] { ++calls; });
  Tensor buffer = Tensor::full({1}, 1e30, DType::Float64);
  x.set_gradient_buffer(buffer);
  backward(x, 2.0);
  backward(x, 5.0);
  EXPECT_EQ(x.gradient().item(), 7.0);
  EXPECT_EQ(buffer.item(), 7.0);
  EXPECT_EQ(calls, 2);
}

TEST(LeafTest, GradientBuffer) {
  // Two leaves in one flat buffer, with a guard element behind each.
  Tensor flat = Tensor::full({6 + 1 + 3 + 1}, 1e30, DType::Float64);
  Variable weight(random64({3, 2}, 1), true), bias(random64({3}, 2), true);
  weight.set_gradient_buffer(flat.slice(0, 0, 6).reshape({3, 2}));
  bias.set_gradient_buffer(flat.slice(0, 7, 3));
  EXPECT_FALSE(weight.gradient().defined());
  const Variable x(random64({4, 2}, 3));
  const Matrix dweight = Matrix::Ones(3, 4) * to_matrix(x.value());
  for (int call = 1; call <= 3; ++call) {
    backward(sum(linear(x, weight, bias)));
    EXPECT_TRUE(weight.gradient().shares_storage_with(flat));
    EXPECT_LT(relative_difference(flat.slice(0, 0, 6), Matrix(call * dweight)), 1e-14);
    EXPECT_EQ(relative_difference(flat.slice(0, 7, 3), Matrix::Constant(1, 3, 4.0 * call)), 0.0);
  }
  weight.clear_gradient();  // the memory stays, its content does not count
  backward(sum(linear(x, weight, bias)));
  EXPECT_TRUE(weight.gradient().shares_storage_with(flat));
  EXPECT_LT(relative_difference(flat.slice(0, 0, 6), dweight), 1e-14);
  EXPECT_EQ(relative_difference(flat.slice(0, 7, 3), Matrix::Constant(1, 3, 16.0)), 0.0);
  EXPECT_EQ(flat.slice(0, 6, 1).item(), 1e30);
  EXPECT_EQ(flat.slice(0, 10, 1).item(), 1e30);
  // A new buffer forgets what the old one held.
  Tensor other = Tensor::full({3}, 1e30, DType::Float64);
  bias.set_gradient_buffer(other);
  EXPECT_FALSE(bias.gradient().defined());
  backward(sum(linear(x, weight, bias)));
  EXPECT_EQ(relative_difference(other, Matrix::Constant(1, 3, 4.0)), 0.0);
  EXPECT_EQ(relative_difference(flat.slice(0, 7, 3), Matrix::Constant(1, 3, 16.0)), 0.0);
}

TEST(LeafTest, HooksSeeCompleteGradientsInBackwardOrder) {
  Variable first(random64({4, 4}, 1), true), second(random64({4, 4}, 2), true),
      second_bias(random64({4}, 3), true), twice(random64({4, 4}, 4), true);
  const Variable x(random64({3, 4}, 5));
  std::vector<std::string> calls;
  std::vector<Tensor> seen;
  const auto watch = [&](Variable& leaf, const std::string& name) {
    leaf.on_gradient_ready([&calls, &seen, &leaf, name] {
      calls.push_back(name);
      seen.push_back(leaf.gradient().clone());
    });
  };
  watch(first, "first");
  watch(second, "second");
  watch(second_bias, "second_bias");
  watch(twice, "twice");
  const auto step = [&] {
    // `twice` is used behind the second layer and before the first one.
    Variable hidden = gelu(linear(gelu(linear(x, twice)), first));
    hidden = gelu(linear(hidden, second, second_bias));
    backward(sum(linear(hidden, twice)));
  };
  for (int repeat = 1; repeat <= 2; ++repeat) {
    calls.clear();
    seen.clear();
    step();
    // A layer's leaves are ready before those of the layers below it; what is used everywhere last.
    ASSERT_EQ(calls.size(), 4u);
    EXPECT_THAT((std::vector<std::string>{calls[0], calls[1]}),
                ::testing::UnorderedElementsAre("second", "second_bias"));
    EXPECT_EQ(calls[2], "first");
    EXPECT_EQ(calls[3], "twice");
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const Variable& leaf = calls[i] == "first"    ? first
                             : calls[i] == "second" ? second
                             : calls[i] == "twice"  ? twice
                                                    : second_bias;
      EXPECT_TRUE(bitwise_equal(seen[i], leaf.gradient())) << calls[i];
    }
  }
}

TEST(LeafTest, SeveralHooksAndUnusedLeaves) {
  Variable x(random64({3}, 1), true), unused(random64({3}, 2), true);
  std::vector<int> calls;
  x.on_gradient_ready([&] { calls.push_back(1); });
  x.on_gradient_ready([&] { calls.push_back(2); });
  unused.on_gradient_ready([&] { calls.push_back(3); });
  const Variable aside = gelu(add(x, unused));
  backward(sum(gelu(x)));
  EXPECT_THAT(calls, ElementsAre(1, 2));
}

TEST(LeafTest, ValuesCanBeChangedBetweenSteps) {
  Variable x(Tensor::full({3}, 1.0, DType::Float64), true);
  backward(sum(scale(x, 2.0)));
  x.mutable_value().fill(5.0);
  EXPECT_EQ(sum(x).value().item(), 15.0);
  EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(1, 3, 2.0)), 0.0);
}

TEST(LeafTest, Errors) {
  EXPECT_EQ(error_of([] { Variable{Tensor()}; }), "[Variable] the value is undefined");
  EXPECT_THAT(error_of([] { Variable(Tensor::zeros({2}, DType::Int32), true); }),
              HasSubstr("a gradient needs a floating dtype, not int32"));
  Variable x(random64({3}, 1), true);
  Variable y = gelu(x), constant(random64({3}, 2));
  for (Variable* variable : {&y, &constant}) {
    EXPECT_THAT(error_of([&] { variable->gradient(); }), HasSubstr("[Variable::gradient] only a"));
    EXPECT_THAT(error_of([&] { variable->clear_gradient(); }), HasSubstr("only a leaf"));
    EXPECT_THAT(error_of([&] { variable->on_gradient_ready([] {}); }), HasSubstr("only a leaf"));
    EXPECT_THAT(error_of([&] { variable->set_gradient_buffer(random64({3}, 1)); }),
                HasSubstr("only a leaf"));
  }
  EXPECT_EQ(error_of([&] { x.set_gradient_buffer(random64({4}, 1)); }),
            "[Variable::set_gradient_buffer] the buffer is float64 [4] on cpu; expected contiguous "
            "float64 [3] on cpu");
  EXPECT_NE(error_of([&] { x.set_gradient_buffer(Tensor::zeros({3})); }), "");
  Variable square(random64({3, 3}, 1), true);
  EXPECT_NE(error_of([&] { square.set_gradient_buffer(random64({3, 3}, 1).transpose(0, 1)); }), "");
}

}  // namespace
}  // namespace shardgrad
