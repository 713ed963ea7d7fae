// The graph's memory: operations in place, saved tensors freed on the way, and graphs too deep for
// recursion.
#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/cross_entropy.h"
#include "autograd/functions/dropout.h"
#include "autograd/functions/gelu.h"
#include "autograd/functions/linear.h"
#include "tensor/allocator.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::bitwise_equal;

std::int64_t bytes_in_use() { return allocator_for(Device{}).stats().bytes_in_use; }

// Runs `operation` on a value that is moved in, and on one of which another handle lives: the first
// must be overwritten, the second kept, and the results equal bit for bit.
template <class Operation>
void expect_in_place_when_moved(const Operation& operation) {
  for (bool needs_gradient : {false, true}) {
    const Variable leaf(random64({37, 48}, 1), needs_gradient);
    Variable moved = scale(leaf, 2.0);
    const void* const memory = moved.value().raw_data();
    const Variable in_place = operation(std::move(moved));
    EXPECT_EQ(in_place.value().raw_data(), memory);

    Variable kept = scale(leaf, 2.0);
    const Tensor before = kept.value().clone();
    const Variable copied = operation(kept);
    EXPECT_NE(copied.value().raw_data(), kept.value().raw_data());
    EXPECT_TRUE(bitwise_equal(kept.value(), before));
    EXPECT_TRUE(bitwise_equal(copied.value(), in_place.value()));

    // A handle on the memory under another shape counts too.
    Variable viewed = scale(leaf, 2.0);
    const Variable view = reshape(viewed, {48, 37});
    const Variable beside = operation(std::move(viewed));
    EXPECT_TRUE(bitwise_equal(view.value(), before.reshape({48, 37})));
    EXPECT_TRUE(bitwise_equal(beside.value(), in_place.value()));

    // And so does what a function has saved for its backward pass.
    Variable saved = scale(leaf, 2.0);
    const void* const saved_memory = saved.value().raw_data();
    const Variable saver = gelu(saved);
    const Variable after = operation(std::move(saved));
    EXPECT_EQ(after.value().raw_data() != saved_memory, needs_gradient);
    EXPECT_TRUE(bitwise_equal(after.value(), in_place.value()));
  }
}

TEST(GraphMemoryTest, AddBiasInPlace) {
  const Variable bias(random64({48}, 2), true);
  expect_in_place_when_moved([&](Variable x) { return add_bias(std::move(x), bias); });
}

TEST(GraphMemoryTest, DropoutAddInPlace) {
  const Variable residual(random64({37, 48}, 2), true);
  for (double probability : {0.0, 0.3}) {
    expect_in_place_when_moved([&](Variable x) {
      return dropout_add(std::move(x), residual, {probability, {3, 4}, 0});
    });
  }
}

// A value that was overwritten is one that no gradient needs.
TEST(GraphMemoryTest, GradientsOfValuesInPlace) {
  expect_gradients_match(
      [](const Inputs& in) {
        Variable x = scale(in[0], 1.5);
        const Variable saver = gelu(x);  // needs x later
        return add(add_bias(std::move(x), in[1]), saver);
      },
      {random64({5, 3}, 1), random64({3}, 2)});
  expect_gradients_match(
      [](const Inputs& in) {
        Variable x = scale(in[0], 1.5);
        const Variable residual = gelu(linear(x, in[1]));
        return dropout_add(add_bias(std::move(x), in[2]), residual, {0.3, {3, 4}, 0});
      },
      {random64({5, 3}, 1), random64({3, 3}, 2), random64({3}, 3)});
}

TEST(GraphMemoryTest, CrossEntropyGradientInPlace) {
  const Tensor labels = reference::random_ids({37}, 0, 48, 3);
  // Hands the logits' gradient out, and where it lies.
  const auto watched = [](const Variable& x, Tensor& gradient) {
    return record("watched", {x}, x.value().clone(), [&gradient](Gradients& gradients) {
      gradient = gradients.output();
      gradients.add(0, gradients.output());
    });
  };
  Variable leaf(random64({37, 48}, 1), true);
  Tensor in_place, copied;
  Variable moved = watched(leaf, in_place);
  const void* const memory = moved.value().raw_data();
  backward(cross_entropy(std::move(moved), labels));
  EXPECT_EQ(in_place.raw_data(), memory);

  const Variable kept = watched(leaf, copied);
  const Tensor before = kept.value().clone();
  backward(cross_entropy(kept, labels));
  EXPECT_NE(copied.raw_data(), kept.value().raw_data());
  EXPECT_TRUE(bitwise_equal(kept.value(), before));
  EXPECT_TRUE(bitwise_equal(copied, in_place));
  EXPECT_TRUE(bitwise_equal(leaf.value(), before));
}

// The leaf's own value is never written, whoever lets go of it.
TEST(GraphMemoryTest, LeavesAreNotOverwritten) {
  Variable x(random64({37, 48}, 1), true), bias(random64({48}, 2), true);
  const Tensor before = x.value().clone();
  Variable copy = x;
  const Variable y = add_bias(std::move(copy), bias);
  backward(cross_entropy(x, reference::random_ids({37}, 0, 48, 3)));
  backward(sum(y));
  EXPECT_TRUE(bitwise_equal(x.value(), before));
}

TEST(GraphMemoryTest, SavedTensorsAreFreedOnTheWay) {
  constexpr std::int64_t kBytes = 256 * 1024 * 8, kLayers = 16;
  const std::int64_t at_start = bytes_in_use();
  Variable x(random64({256, 1024}, 1), true);
  std::int64_t at_bottom = 0;
  const Variable bottom = record("probe", {x}, x.value().clone(), [&](Gradients& gradients) {
    at_bottom = bytes_in_use();
    gradients.add(0, gradients.output());
  });
  Variable y = bottom;
  for (int layer = 0; layer < kLayers; ++layer) y = gelu(y);
  const Variable loss = sum(y);
  y = Variable();
  EXPECT_GE(bytes_in_use() - at_start, kLayers * kBytes);
  backward(loss);
  // The leaf, `bottom`, and the gradient on its way; not what sixteen layers saved.
  EXPECT_LE(at_bottom - at_start, 4 * kBytes);
  // The leaf with its gradient, and `bottom`, although the loss is still there.
  EXPECT_LE(bytes_in_use() - at_start, 3 * kBytes + 4096);
  EXPECT_TRUE(loss.requires_grad());
}

// A handle on a result keeps its value alive, not what its function had saved nor what lies below.
TEST(GraphMemoryTest, HandlesKeepOnlyTheirValue) {
  constexpr std::int64_t kBytes = 256 * 1024 * 8;
  const Variable x(random64({256, 1024}, 1), true);
  backward(sum(x));
  const std::int64_t before = bytes_in_use();
  const Variable held = gelu(scale(gelu(x), 2.0));
  const Variable loss = sum(gelu(held));
  EXPECT_GE(bytes_in_use() - before, 2 * kBytes);
  backward(loss);
  EXPECT_LE(bytes_in_use() - before, kBytes + 4096);
  EXPECT_EQ(held.shape(), x.shape());
}

// Of a GELU between two projections, its input alone is kept; the value takes its place when it is
// needed, beside the gradient, which takes that of its own.
TEST(GraphMemoryTest, AGeluIsStoredOnce) {
  constexpr std::int64_t kBytes = 256 * 1024 * 8;
  const Variable x(random64({256, 8}, 1), true), into(random64({1024, 8}, 2), true),
      bias(random64({1024}, 3), true), out_of(random64({8, 1024}, 4), true);
  const std::int64_t before = bytes_in_use();
  const Variable y = linear(linear_gelu(x, into, bias, GeluKind::Tanh), out_of);
  EXPECT_GE(bytes_in_use() - before, kBytes);
  EXPECT_LE(bytes_in_use() - before, kBytes + kBytes / 8);
  CachingAllocator& allocator = allocator_for(Device{});
  allocator.reset_peak();
  backward(sum(y));
  const std::int64_t peak = allocator.stats().peak_bytes_in_use - before;
  EXPECT_GE(peak, 2 * kBytes);
  EXPECT_LE(peak, 2 * kBytes + kBytes / 4);
}

// Without a graph nothing is saved at all.
TEST(GraphMemoryTest, NothingIsSavedWithoutAGraph) {
  constexpr std::int64_t kBytes = 256 * 1024 * 8;
  Variable y(random64({256, 1024}, 1), true);
  const std::int64_t before = bytes_in_use();
  const NoGradGuard guard;
  for (int layer = 0; layer < 16; ++layer) y = gelu(y);
  EXPECT_LE(bytes_in_use() - before, kBytes);
}

Variable deep_chain(const Variable& x, int depth) {
  Variable y = x;
  for (int step = 0; step < depth; ++step) {
    y = step % 2 ? add(y, x) : scale(y, 0.5);
  }
  return y;
}

TEST(GraphMemoryTest, DeepChainsAreDifferentiatedWithoutRecursion) {
  Variable x(Tensor::full({1}, 1.0, DType::Float64), true);
  const std::int64_t before = bytes_in_use();
  backward(deep_chain(x, 100000));
  // y <- y / 2 + x from y = x: 2 - 2^-50000 = 2.
  EXPECT_DOUBLE_EQ(x.gradient().item(), 2.0);
  EXPECT_LE(bytes_in_use() - before, 4096);
}

TEST(GraphMemoryTest, DeepChainsAreDestroyedWithoutRecursion) {
  Variable x(Tensor::full({1}, 1.0, DType::Float64), true);
  const std::int64_t before = bytes_in_use();
  { const Variable y = deep_chain(x, 100000); }
  EXPECT_EQ(bytes_in_use(), before);
  // Chains that meet, with the join let go of first or last.
  Variable left = gelu(deep_chain(x, 100000)), right = gelu(deep_chain(x, 100000));
  Variable join = add(left, right);
  join = Variable();
  left = Variable();
  right = add(right, right);
  right = Variable();
  EXPECT_EQ(bytes_in_use(), before);
  EXPECT_FALSE(x.gradient().defined());
}

}  // namespace
}  // namespace shardgrad
