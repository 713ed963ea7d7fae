// Column- and row-parallel linears and the vocabulary-parallel layers against dense Eigen formulas
// in float64, at tp = 1, 2 and 4: outputs, and the gradients of everything below them.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "autograd/functions/arithmetic.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/launch.h"
#include "parallel/row_parallel_linear.h"
#include "parallel/sharded_parameters.h"
#include "parallel/vocab_parallel.h"
#include "tests/support/backward_from.h"
#include "tests/support/error_of.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::Matrix;
using reference::relative_difference;
using reference::to_matrix;

constexpr std::int64_t kRows = 7, kIn = 12, kOut = 20;
const ParallelLinearOptions kFloat64{{DType::Float64}};

Tensor random64(const Shape& shape, std::uint64_t seed) {
  return reference::random_tensor(shape, DType::Float64, seed);
}

Matrix gathered(const Module& module, const std::string& name, bool gradient, Communicator& world) {
  for (const auto& [own_name, parameter] : module.named_parameters()) {
    if (own_name != name) continue;
    const Variable& variable = parameter->variable;
    return to_matrix(
        gather_shards(gradient ? variable.gradient() : variable.value(), parameter->shard, world));
  }
  ADD_FAILURE() << "no parameter " << name;
  return {};
}

class LayersTest : public ::testing::TestWithParam<int> {};

TEST_P(LayersTest, ColumnParallelLinear) {
  for (bool gather_output : {true, false}) {
    run_ranks(GetParam(), 1, [&](Communicator& world) {
      ColumnParallelLinear layer(kIn, kOut, true, gather_output, world, kFloat64);
      initialize_parameters(layer, 3);
      layer.named_parameters()[1].parameter->variable.mutable_value().fill(0.5);
      Variable x(random64({kRows, kIn}, 1), true);
      const Tensor dy = random64({kRows, kOut}, 2);
      const Variable y = layer.forward(x);
      const Matrix weight = gathered(layer, "weight", false, world);
      const Matrix expected = (to_matrix(x.value()) * weight.transpose()).array() + 0.5;
      const std::int64_t part = kOut / world.world_size();
      const std::int64_t first = gather_output ? 0 : world.rank() * part;
      const std::int64_t width = gather_output ? kOut : part;
      EXPECT_LT(relative_difference(y.value(), Matrix(expected.middleCols(first, width))), 1e-14);
      backward_from(y, dy.slice(1, first, width).contiguous());
      EXPECT_LT(relative_difference(x.gradient(), Matrix(to_matrix(dy) * weight)), 1e-14);
      const Matrix dweight = gathered(layer, "weight", true, world);
      const Matrix expected_dweight = to_matrix(dy).transpose() * to_matrix(x.value());
      EXPECT_LT((dweight - expected_dweight).norm() / expected_dweight.norm(), 1e-14);
      const Matrix dbias = gathered(layer, "bias", true, world);
      EXPECT_LT((dbias - to_matrix(dy).colwise().sum()).norm() / dbias.norm(), 1e-14);
    });
  }
}

// The bias is 100 so that adding it on every rank shows.
TEST_P(LayersTest, RowParallelLinear) {
  for (bool input_is_parallel : {true, false}) {
    run_ranks(GetParam(), 1, [&](Communicator& world) {
      RowParallelLinear layer(kIn, kOut, true, input_is_parallel, world, kFloat64);
      initialize_parameters(layer, 3);
      layer.named_parameters()[1].parameter->variable.mutable_value().fill(100.0);
      const Tensor whole = random64({kRows, kIn}, 1), dy = random64({kRows, kOut}, 2);
      const std::int64_t part = kIn / world.world_size();
      const std::int64_t first = input_is_parallel ? world.rank() * part : 0;
      const std::int64_t width = input_is_parallel ? part : kIn;
      Variable x(whole.slice(1, first, width).contiguous(), true);
      const Variable y = layer.forward(x);
      const Matrix weight = gathered(layer, "weight", false, world);
      EXPECT_LT(relative_difference(
                    y.value(), Matrix((to_matrix(whole) * weight.transpose()).array() + 100.0)),
                1e-14);
      backward_from(y, dy);
      const Matrix dx = to_matrix(dy) * weight;
      EXPECT_LT(relative_difference(x.gradient(), Matrix(dx.middleCols(first, width))), 1e-14);
      const Matrix dweight = gathered(layer, "weight", true, world);
      const Matrix expected_dweight = to_matrix(dy).transpose() * to_matrix(whole);
      EXPECT_LT((dweight - expected_dweight).norm() / expected_dweight.norm(), 1e-14);
      const Matrix dbias = gathered(layer, "bias", true, world);
      EXPECT_LT((dbias - to_matrix(dy).colwise().sum()).norm() / dbias.norm(), 1e-14);
    });
  }
}

// What each of `ranks` ranks holds of a vocabulary: an equal part, rounded up to a multiple of 64.
std::int64_t padded_part(std::int64_t vocabulary, int ranks) {
  const std::int64_t part = (vocabulary + ranks - 1) / ranks;
  return (part + 63) / 64 * 64;
}

// 190 rows are 128 + 62 over 2 ranks and 64 + 64 + 62 + 0 over 4, since parts are multiples of 64.
TEST_P(LayersTest, VocabParallelEmbedding) {
  constexpr std::int64_t kVocabulary = 190;
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    VocabParallelEmbedding layer(kVocabulary, 6, world, 1.0, {DType::Float64});
    initialize_parameters(layer, 3);
    const Tensor ids = Tensor::from(
        std::vector<std::int32_t>{0, 1, 63, 64, 65, 127, 128, 129, 189, 188, 188, 0, 3}, {13});
    const Matrix table = gathered(layer, "weight", false, world);
    const Variable y = layer.forward(ids);
    const Tensor dy = random64({13, 6}, 2);
    backward_from(y, dy);
    Matrix expected(13, 6), dtable = Matrix::Zero(kVocabulary, 6);
    for (int row = 0; row < 13; ++row) {
      const int id = ids.data<std::int32_t>()[row];
      expected.row(row) = table.row(id);
      dtable.row(id) += to_matrix(dy).row(row);
    }
    EXPECT_EQ(relative_difference(y.value(), expected), 0.0);
    EXPECT_LT((gathered(layer, "weight", true, world) - dtable).norm() / dtable.norm(), 1e-15);
    EXPECT_THROW(layer.forward(Tensor::from(std::vector<std::int32_t>{190}, {1})), Error);
    EXPECT_THROW(layer.forward(Tensor::from(std::vector<std::int32_t>{-1}, {1})), Error);
  });
}

// A target in every shard, ignored rows, and logits so large that exp() overflows without the
// global maximum.
TEST_P(LayersTest, VocabParallelCrossEntropy) {
  constexpr std::int64_t kVocabulary = 190;
  for (double magnitude : {1.0, 1000.0}) {
    run_ranks(GetParam(), 1, [&](Communicator& world) {
      const Tensor all = reference::random_tensor({13, kVocabulary}, DType::Float64, 1, magnitude);
      const Tensor labels = Tensor::from(
          std::vector<std::int32_t>{0, 1, 63, 64, 65, 127, 128, 129, 189, 100, -100, 0, -100},
          {13});
      const VocabularySlice slice = vocabulary_slice(kVocabulary, world);
      const std::int64_t padded = padded_part(kVocabulary, world.world_size());
      // Padding holds what would win if it counted.
      Tensor local = Tensor::full({13, padded}, 1e6, DType::Float64);
      if (slice.columns > 0) {
        local.slice(1, 0, slice.columns).copy_from(all.slice(1, slice.first_column, slice.columns));
      }
      Variable logits(local, true);
      const Variable loss = vocab_parallel_cross_entropy(logits, labels, kVocabulary, world);
      backward(loss);
      Matrix dlogits = Matrix::Zero(13, kVocabulary);
      double expected = 0.0;
      const Matrix x = to_matrix(all);
      for (int row = 0; row < 13; ++row) {
        const int label = labels.data<std::int32_t>()[row];
        if (label < 0) continue;
        const double largest = x.row(row).maxCoeff();
        const Eigen::RowVectorXd e = (x.row(row).array() - largest).exp();
        expected += (std::log(e.sum()) + largest - x(row, label)) / 11.0;
        dlogits.row(row) = e / e.sum() / 11.0;
        dlogits(row, label) -= 1.0 / 11.0;
      }
      EXPECT_NEAR(loss.value().item(), expected, 1e-12 * std::abs(expected));
      Matrix own = Matrix::Zero(13, padded);
      if (slice.columns > 0) {
        own.leftCols(slice.columns) = dlogits.middleCols(slice.first_column, slice.columns);
      }
      EXPECT_LT((to_matrix(logits.gradient()) - own).norm(), 1e-12 * dlogits.norm());
    });
  }
}

// Sharded parameters count on every rank, replicated ones once: the norm of the whole.
TEST_P(LayersTest, GradientNorm) {
  run_ranks(GetParam(), 1, [&](Communicator& world) {
    RowParallelLinear layer(kIn, kOut, true, false, world, kFloat64);
    FlatParameters flat(layer.named_parameters());
    initialize_parameters(layer, 3);
    const Tensor x = random64({kRows, kIn}, 1), dy = random64({kRows, kOut}, 2);
    backward_from(layer.forward(Variable(x)), dy);
    const Matrix dweight = to_matrix(dy).transpose() * to_matrix(x);
    const double expected =
        std::sqrt(dweight.squaredNorm() + to_matrix(dy).colwise().sum().squaredNorm());
    EXPECT_NEAR(gradient_norm(flat, world).item(), expected, 1e-12 * expected);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, LayersTest, ::testing::Values(1, 2, 4));

std::string error_on(int tp, const std::function<void(Communicator&)>& body) {
  return error_of([&] { run_ranks(tp, 1, body); });
}

TEST(Layers, SayWhichRanksWouldDivide) {
  EXPECT_EQ(
      error_on(4, [](Communicator& c) { ColumnParallelLinear(8, 10, true, false, c); }),
      "[ColumnParallelLinear] out_features 10 is not divisible by tp=4; choose tp from {1, 2, "
      "5, 10}");
  EXPECT_EQ(
      error_on(2, [](Communicator& c) { RowParallelLinear(25, 8, true, true, c); }),
      "[RowParallelLinear] in_features 25 is not divisible by tp=2; choose tp from {1, 5, 25}");
}

}  // namespace
}  // namespace shardgrad
