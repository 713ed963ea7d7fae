// Gradients of table lookup, whole and over a shard of the rows.
#include "autograd/functions/embedding.h"

#include <gtest/gtest.h>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/gelu.h"
#include "autograd/functions/linear.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::expect_gradients_match;
using gradient_testing::Inputs;
using gradient_testing::random64;
using reference::random_ids;

Tensor ids_of(const std::vector<std::int32_t>& ids) {
  return Tensor::from(ids, {static_cast<std::int64_t>(ids.size())});
}

TEST(EmbeddingTest, Gradients) {
  const Tensor repeated = ids_of({3, 0, 3, 3, 6, 0});
  expect_gradients_match([&](const Inputs& in) { return embedding(repeated, in[0]); },
                         {random64({7, 5}, 1)});
  const Tensor many = random_ids({37}, 0, 11, 2);
  expect_gradients_match([&](const Inputs& in) { return embedding(many, in[0]); },
                         {random64({11, 48}, 1)});
}

TEST(EmbeddingTest, ShardOfTheRows) {
  const Tensor ids = ids_of({3, 0, 9, 4, 4, 6, 5, 12});
  const Tensor table = random64({3, 5}, 1);  // global rows 4, 5 and 6
  const Variable out = embedding(ids, Variable(table), 4);
  for (std::int64_t m = 0; m < 8; ++m) {
    const std::int64_t row = ids.data<std::int32_t>()[m] - 4;
    const Tensor expected =
        row >= 0 && row < 3 ? table.slice(0, row, 1) : Tensor::zeros({1, 5}, DType::Float64);
    EXPECT_TRUE(reference::bitwise_equal(out.value().slice(0, m, 1), expected)) << m;
  }
  expect_gradients_match([&](const Inputs& in) { return embedding(ids, in[0], 4); }, {table});
}

// A table that is also the output projection, as in GPT-2: both gradients meet in one tensor,
// whichever comes first.
TEST(EmbeddingTest, TiedWithTheOutputProjection) {
  const Tensor ids = ids_of({3, 0, 3, 6});
  expect_gradients_match(
      [&](const Inputs& in) { return linear(gelu(embedding(ids, in[0])), in[0]); },
      {random64({7, 5}, 1)});
  expect_gradients_match(
      [&](const Inputs& in) { return add(embedding(ids, in[0]), gelu(embedding(ids, in[0], 1))); },
      {random64({7, 5}, 1)});
  expect_gradients_match(  // the table is itself a result
      [&](const Inputs& in) {
        const Variable table = gelu(in[0]);
        return add(embedding(ids, table), embedding(ids, table, -1));
      },
      {random64({8, 5}, 1)});
}

// Rows that no id names get zeros, also where the gradient's memory held something else.
TEST(EmbeddingTest, UnnamedRowsGetZeros) {
  Variable table(random64({7, 5}, 1), true);
  Tensor buffer = Tensor::full({7, 5}, 1e30, DType::Float64);
  table.set_gradient_buffer(buffer);
  backward(sum(embedding(ids_of({3, 0, 3}), table)));
  reference::Matrix expected = reference::Matrix::Zero(7, 5);
  expected.row(0).setConstant(1.0);
  expected.row(3).setConstant(2.0);
  EXPECT_EQ(reference::relative_difference(buffer, expected), 0.0);
}

TEST(EmbeddingTest, Errors) {
  EXPECT_EQ(error_of([] {
              embedding(Tensor::zeros({2, 3}, DType::Int32), Variable(random64({7, 5}, 1)));
            }),
            "[embedding] ids are [2, 3] and the table [7, 5]; expected [M] and [R, D]");
}

}  // namespace
}  // namespace shardgrad
