// Layers on slices of the tokens against dense Eigen formulas in float64, at tp = 2 and 4, with and
// without a queue to overlap with; and what a slice's dropout is.
#include <gtest/gtest.h>

#include <optional>

#include "nn/dropout.h"
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

using reference::bitwise_equal;
using reference::Matrix;
using reference::relative_difference;
using reference::to_matrix;

constexpr std::int64_t kRows = 8, kIn = 12, kOut = 20;
constexpr TokenLayout kSliced = TokenLayout::Sliced;

Tensor random64(const Shape& shape, std::uint64_t seed) {
  return reference::random_tensor(shape, DType::Float64, seed);
}

// The options of every layer here.
ParallelLinearOptions sliced_options(CommunicationQueue* queue = nullptr) {
  ParallelLinearOptions options;
  options.parameters.dtype = DType::Float64;
  options.sequence_parallel = true;
  options.overlap = queue;
  return options;
}

Tensor own_rows(const Tensor& whole, const Communicator& group) {
  const std::int64_t part = whole.size(0) / group.world_size();
  return whole.slice(0, group.rank() * part, part).contiguous();
}

Tensor own_columns(const Tensor& whole, const Communicator& group) {
  const std::int64_t part = whole.size(1) / group.world_size();
  return whole.slice(1, group.rank() * part, part).contiguous();
}

Matrix gathered(const Parameter& parameter, const Tensor& local, Communicator& group) {
  return to_matrix(gather_shards(local, parameter.shard, group));
}

double difference(const Matrix& found, const Matrix& expected) {
  return (found - expected).norm() / expected.norm();
}

class SequenceParallelTest : public ::testing::TestWithParam<int> {};

TEST_P(SequenceParallelTest, ColumnParallelLinearGathersItsTokens) {
  for (const bool overlap : {false, true}) {
    run_ranks(GetParam(), 1, [&](Communicator& group) {
      std::optional<CommunicationQueue> queue;
      if (overlap) queue.emplace(group);
      ColumnParallelLinear layer(kIn, kOut, true, false, group,
                                 sliced_options(queue ? &*queue : nullptr));
      initialize_parameters(layer, 3);
      const auto weight = layer.named_parameters()[0].parameter;
      const auto bias = layer.named_parameters()[1].parameter;
      bias->variable.mutable_value().fill(0.5);
      const Tensor whole = random64({kRows, kIn}, 1), dy = random64({kRows, kOut}, 2);
      Variable x(own_rows(whole, group), true);
      const Variable y = layer.forward(x, kSliced);
      const Matrix w = gathered(*weight, weight->variable.value(), group);
      const Matrix expected = (to_matrix(whole) * w.transpose()).array() + 0.5;
      EXPECT_LT(relative_difference(
                    y.value(), own_columns(reference::to_tensor(expected, DType::Float64), group)),
                1e-14);
      backward_from(y, own_columns(dy, group));
      const Tensor dx = reference::to_tensor(to_matrix(dy) * w, DType::Float64);
      EXPECT_LT(relative_difference(x.gradient(), own_rows(dx, group)), 1e-14);
      EXPECT_LT(difference(gathered(*weight, weight->variable.gradient(), group),
                           to_matrix(dy).transpose() * to_matrix(whole)),
                1e-14);
      EXPECT_LT(difference(gathered(*bias, bias->variable.gradient(), group),
                           to_matrix(dy).colwise().sum()),
                1e-14);
      EXPECT_FALSE(weight->partial_gradient || bias->partial_gradient);
    });
  }
}

// The bias is 100 so that adding it on every rank shows. Its gradient is that of the rank's own
// rows: the sum over the ranks is the whole one, not the mean.
TEST_P(SequenceParallelTest, RowParallelLinearSlicesItsResult) {
  run_ranks(GetParam(), 1, [&](Communicator& group) {
    RowParallelLinear layer(kIn, kOut, true, true, group, sliced_options());
    initialize_parameters(layer, 3);
    const auto weight = layer.named_parameters()[0].parameter;
    const auto bias = layer.named_parameters()[1].parameter;
    bias->variable.mutable_value().fill(100.0);
    const Tensor whole = random64({kRows, kIn}, 1), dy = random64({kRows, kOut}, 2);
    Variable x(own_columns(whole, group), true);
    const Variable y = layer.forward(x, kSliced);
    const Matrix w = gathered(*weight, weight->variable.value(), group);
    const Matrix expected = (to_matrix(whole) * w.transpose()).array() + 100.0;
    EXPECT_LT(relative_difference(y.value(),
                                  own_rows(reference::to_tensor(expected, DType::Float64), group)),
              1e-14);
    backward_from(y, own_rows(dy, group));
    const Tensor dx = reference::to_tensor(to_matrix(dy) * w, DType::Float64);
    EXPECT_LT(relative_difference(x.gradient(), own_columns(dx, group)), 1e-14);
    EXPECT_LT(difference(gathered(*weight, weight->variable.gradient(), group),
                         to_matrix(dy).transpose() * to_matrix(whole)),
              1e-14);
    EXPECT_FALSE(weight->partial_gradient);
    EXPECT_TRUE(bias->partial_gradient);
    Tensor dbias = bias->variable.gradient();
    EXPECT_LT(relative_difference(dbias, Matrix(to_matrix(own_rows(dy, group)).colwise().sum())),
              1e-14);
    group.all_reduce(dbias);
    EXPECT_LT(relative_difference(dbias, Matrix(to_matrix(dy).colwise().sum())), 1e-14);
  });
}

TEST_P(SequenceParallelTest, VocabParallelEmbeddingSlicesItsRows) {
  constexpr std::int64_t kVocabulary = 190;
  run_ranks(GetParam(), 1, [&](Communicator& group) {
    VocabParallelEmbedding layer(kVocabulary, 6, group, 1.0, {DType::Float64});
    initialize_parameters(layer, 3);
    const Parameter& table = *layer.weight();
    const Tensor ids =
        Tensor::from(std::vector<std::int32_t>{0, 1, 64, 189, 127, 188, 188, 0}, {kRows});
    const Variable y = layer.forward(ids, kSliced);
    const Tensor dy = random64({kRows, 6}, 2);
    backward_from(y, own_rows(dy, group));
    const Matrix rows = gathered(table, table.variable.value(), group);
    Matrix expected(kRows, 6), dtable = Matrix::Zero(kVocabulary, 6);
    for (int row = 0; row < kRows; ++row) {
      const int id = ids.data<std::int32_t>()[row];
      expected.row(row) = rows.row(id);
      dtable.row(id) += to_matrix(dy).row(row);
    }
    EXPECT_EQ(relative_difference(y.value(),
                                  own_rows(reference::to_tensor(expected, DType::Float64), group)),
              0.0);
    EXPECT_LT(difference(gathered(table, table.variable.gradient(), group), dtable), 1e-15);
  });
}

// Each rank drops in its slice what one rank alone would drop there.
TEST_P(SequenceParallelTest, TheMasksOfTheSlicesAreSlicesOfTheMask) {
  const Dropout dropout(0.3, "here", 2);
  ForwardContext context;
  context.training = true;
  context.seed = 5;
  context.step = 4;
  context.first_sequence = 3;
  context.tokens = 37;
  const std::int64_t rows = 4 * 37;
  const Tensor ones = Tensor::full({rows, 24}, 1.0);
  const Tensor whole = dropout.forward(Variable(ones), context).value();
  run_ranks(GetParam(), 1, [&](Communicator& group) {
    ForwardContext own = context;
    own.layout = TokenLayout::Sliced;
    own.first_slice_row = group.rank() * (rows / group.world_size());
    const Tensor slice = dropout.forward(Variable(own_rows(ones, group)), own).value();
    EXPECT_TRUE(bitwise_equal(slice, own_rows(whole, group)));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, SequenceParallelTest, ::testing::Values(2, 4));

TEST(SequenceParallel, OverlapChangesNoBitAndUsesTheQueue) {
  for (const TokenLayout layout : {TokenLayout::Replicated, TokenLayout::Sliced}) {
    run_ranks(2, 1, [&](Communicator& group) {
      Tensor found[2][4];
      for (const bool overlap : {false, true}) {
        std::optional<CommunicationQueue> queue;
        if (overlap) queue.emplace(group);
        ColumnParallelLinear layer(64, 96, true, false, group,
                                   {{}, 0.0, 1, false, queue ? &*queue : nullptr});
        initialize_parameters(layer, 3);
        const Tensor whole = reference::random_tensor({128, 64}, DType::Float32, 1);
        Variable x(layout == kSliced ? own_rows(whole, group) : whole, true);
        const Variable y = layer.forward_gelu(x, GeluKind::Tanh, layout);
        backward_from(y, reference::random_tensor({128, 48}, DType::Float32, 2 + group.rank()));
        found[overlap][0] = y.value();
        found[overlap][1] = x.gradient();
        for (int i : {0, 1}) {
          found[overlap][2 + i] = layer.named_parameters()[i].parameter->variable.gradient();
        }
        if (!overlap) continue;
        const CommunicationStats stats = queue->stats();
        EXPECT_EQ(stats.all_reduce.calls, layout == kSliced ? 0 : 1);
        EXPECT_EQ(stats.reduce_scatter.calls, layout == kSliced ? 1 : 0);
        EXPECT_EQ(stats.all_gather.calls, layout == kSliced ? 2 : 0);
      }
      for (int i = 0; i < 4; ++i) EXPECT_TRUE(bitwise_equal(found[0][i], found[1][i])) << i;
    });
  }
}

TEST(SequenceParallel, RowsThatDoNotDivideAreAnError) {
  EXPECT_EQ(error_of([] {
              run_ranks(2, 1, [](Communicator& group) {
                reduce_scatter_to_sequence_parallel(Variable(random64({5, 2}, 1)), group);
              });
            }),
            "[reduce_scatter_to_sequence_parallel] rows 5 is not divisible by tp=2; choose tp from "
            "{1, 5}");
}

TEST(SequenceParallel, ABiasThatWouldLearnWronglyIsAnError) {
  const auto error = [](bool made_for_it, TokenLayout layout) {
    return error_of([=] {
      run_ranks(2, 1, [=](Communicator& group) {
        ParallelLinearOptions options = sliced_options();
        options.sequence_parallel = made_for_it;
        RowParallelLinear layer(kIn, kOut, true, false, group, options);
        initialize_parameters(layer, 3);
        layer.forward(Variable(random64({kRows, kIn}, 1)), layout);
        const NoGradGuard no_grad;  // where nothing learns there is nothing to get wrong
        layer.forward(Variable(random64({kRows, kIn}, 1)),
                      layout == kSliced ? TokenLayout::Replicated : kSliced);
      });
    });
  };
  EXPECT_EQ(error(true, kSliced), "");
  EXPECT_EQ(error(false, TokenLayout::Replicated), "");
  EXPECT_EQ(error(true, TokenLayout::Replicated),
            "[RowParallelLinear] the layer was made for sequence parallelism, and trains on tokens "
            "that are not sliced; expected the same of both");
  EXPECT_EQ(error(false, kSliced),
            "[RowParallelLinear] the layer was made without sequence parallelism, and trains on "
            "tokens that are sliced; expected the same of both");
}

}  // namespace
}  // namespace shardgrad
