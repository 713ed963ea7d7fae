// Parallel layers start as the dense layers of the same names do, bit for bit, at tp = 1, 2 and 4.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nn/embedding.h"
#include "nn/linear.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/launch.h"
#include "parallel/row_parallel_linear.h"
#include "parallel/vocab_parallel.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::Matrix;
using reference::to_matrix;

Matrix weight_of(const Module& layer) {
  return to_matrix(layer.named_parameters()[0].parameter->variable.value());
}

template <class Layer>
Matrix initial_weight(const Layer& layer) {
  initialize_parameters(layer, 17);
  return weight_of(layer);
}

class InitializationTest : public ::testing::TestWithParam<int> {};

TEST_P(InitializationTest, ColumnParallelLinearHoldsRows) {
  const Matrix dense = initial_weight(Linear(20, 24));
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const int rows = 24 / world.world_size();
    EXPECT_EQ(initial_weight(ColumnParallelLinear(20, 24, true, false, world)),
              dense.middleRows(world.rank() * rows, rows));
  });
}

// Every rank holds its rows of the first 8, of the next 8 and of the last 8.
TEST_P(InitializationTest, SegmentsAreCutOneByOne) {
  const Matrix dense = initial_weight(Linear(20, 24));
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const int rows = 8 / world.world_size();
    Matrix expected(3 * rows, 20);
    for (int segment = 0; segment < 3; ++segment) {
      expected.middleRows(segment * rows, rows) =
          dense.middleRows(8 * segment + world.rank() * rows, rows);
    }
    EXPECT_EQ(initial_weight(ColumnParallelLinear(20, 24, true, false, world, {{}, 0.0, 3})),
              expected);
  });
}

// The deviation is 1 / sqrt of all in_features, not of those that the rank holds.
TEST_P(InitializationTest, RowParallelLinearHoldsColumns) {
  const Matrix dense = initial_weight(Linear(64, 30));
  // Five standard errors of the deviation of 1920 draws.
  EXPECT_NEAR(std::sqrt(dense.squaredNorm() / 1920), 0.125, 5 * 0.125 / std::sqrt(2.0 * 1920));
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const int columns = 64 / world.world_size();
    EXPECT_EQ(initial_weight(RowParallelLinear(64, 30, true, true, world)),
              dense.middleCols(world.rank() * columns, columns));
  });
}

TEST_P(InitializationTest, VocabParallelEmbeddingHoldsRowsAndZeros) {
  const Matrix dense = initial_weight(Embedding(190, 6));
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const int part = (190 + world.world_size() - 1) / world.world_size();
    const int rows = (part + 63) / 64 * 64;
    Matrix expected = Matrix::Zero(rows * world.world_size(), 6);
    expected.topRows(190) = dense;
    EXPECT_EQ(initial_weight(VocabParallelEmbedding(190, 6, world)),
              expected.middleRows(world.rank() * rows, rows));
  });
}

TEST_P(InitializationTest, BiasesAreZero) {
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    const ColumnParallelLinear column(20, 24, true, false, world);
    const RowParallelLinear row(64, 30, true, true, world);
    for (const Module* layer :
         {static_cast<const Module*>(&column), static_cast<const Module*>(&row)}) {
      initialize_parameters(*layer, 17);
      const auto bias = layer->named_parameters()[1].parameter->variable.value();
      EXPECT_THAT(bias.to_vector<float>(), ::testing::Each(0.0f));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, InitializationTest, ::testing::Values(1, 2, 4));

}  // namespace
}  // namespace shardgrad
