// Traps of random numbers on several ranks: 5, 6, 8, 9 and 26.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>

#include "model/attention.h"
#include "nn/dropout.h"
#include "nn/linear.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/launch.h"
#include "parallel/row_parallel_linear.h"
#include "parallel/vocab_parallel.h"
#include "tests/tensor/attention_reference.h"
#include "tests/training/layout_run.h"
#include "tests/traps/trap_testing.h"

namespace shardgrad {
namespace {

using namespace trap_testing;

constexpr std::int64_t kVocabulary = 250;  // 128 + 122 over 2 ranks, 64 + 64 + 64 + 58 over 4

// What each rank of `tp` starts with: the "weight" of the layer that `make(group)` makes.
template <class Make>
std::vector<Matrix> initial_weights(int tp, const Make& make) {
  std::vector<Matrix> weights(tp);
  run_ranks(tp, 1, [&](Communicator& group) {
    const auto layer = make(group);
    initialize_parameters(*layer, 17);
    weights[group.rank()] = to_matrix(parameter_of(*layer, "weight").variable.value());
  });
  return weights;
}

auto column_parallel(Communicator& group) {
  return std::make_unique<ColumnParallelLinear>(20, 24, true, false, group);
}
auto fused_column_parallel(Communicator& group) {
  return std::make_unique<ColumnParallelLinear>(20, 24, true, false, group,
                                                ParallelLinearOptions{{}, 0.0, /*segments=*/3});
}
auto row_parallel(Communicator& group) {
  return std::make_unique<RowParallelLinear>(256, 64, true, true, group);
}
auto vocab_parallel(Communicator& group) {
  return std::make_unique<VocabParallelEmbedding>(kVocabulary, 64, group);
}

void expect_all_differ(const std::vector<Matrix>& shards) {
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_EQ((shards[i].topRows(4).array() == shards[j].topRows(4).array()).count(), 0)
          << "ranks " << i << " and " << j;
    }
  }
}

Matrix one_below_the_other(const std::vector<Matrix>& shards) {
  Matrix all(0, shards[0].cols());
  for (const Matrix& shard : shards) {
    Matrix longer(all.rows() + shard.rows(), all.cols());
    longer << all, shard;
    all = longer;
  }
  return all;
}

Matrix side_by_side(const std::vector<Matrix>& shards) {
  std::vector<Matrix> transposed;
  for (const Matrix& shard : shards) transposed.push_back(shard.transpose());
  return one_below_the_other(transposed).transpose();
}

// Ranks that draw with the same seed all draw the same shard; with seeds of their own, what they
// draw depends on how many they are.
TEST(Trap05, ShardsAreTheSlicesOfOneDraw) {
  const Matrix column = initial_weights(1, column_parallel)[0];
  const Matrix row = initial_weights(1, row_parallel)[0];
  const Matrix table = initial_weights(1, vocab_parallel)[0].topRows(kVocabulary);
  for (int tp : {2, 4}) {
    const std::vector<Matrix> columns = initial_weights(tp, column_parallel);
    expect_all_differ(columns);
    EXPECT_EQ(one_below_the_other(columns), column);
    const std::vector<Matrix> rows = initial_weights(tp, row_parallel);
    expect_all_differ(rows);
    EXPECT_EQ(side_by_side(rows), row);
    const std::vector<Matrix> tables = initial_weights(tp, vocab_parallel);
    expect_all_differ(tables);
    EXPECT_EQ(one_below_the_other(tables).topRows(kVocabulary), table);
    const std::vector<Matrix> fused = initial_weights(tp, fused_column_parallel);
    expect_all_differ(fused);
    std::vector<Matrix> parts;  // of the first segment on all ranks, of the second, of the third
    for (int segment = 0; segment < 3; ++segment) {
      for (const Matrix& shard : fused) parts.push_back(shard.middleRows(segment * 8 / tp, 8 / tp));
    }
    EXPECT_EQ(one_below_the_other(parts), column);
  }
}

// A row-parallel rank that takes its own part of the inputs for all of them starts with weights
// that are sqrt(tp) too large.
TEST(Trap06, TheStandardDeviationDoesNotDependOnTp) {
  for (int tp : {1, 2, 4}) {
    for (const Matrix& shard : initial_weights(tp, row_parallel)) {
      const double count = static_cast<double>(shard.size());
      const double expected = 1.0 / std::sqrt(256.0);
      // Five standard errors of the deviation of that many draws: 6 % for the smallest shard.
      EXPECT_NEAR(std::sqrt(shard.squaredNorm() / count), expected,
                  5 * expected / std::sqrt(2 * count))
          << "tp=" << tp;
    }
  }
}

constexpr std::int64_t kHeads = 4, kTokens = 6, kHeadDim = 8, kWidth = kHeads * kHeadDim;

// The dropped attention probabilities of all heads [2 * T, H * Dh]: element (b*T + i, h*Dh + j) is
// that of query i on key j, as every query sees its keys equally, value j is the j-th unit vector,
// and the projection changes nothing.
Matrix attention_probabilities(Communicator& group, const ForwardContext& context) {
  GPTConfig config = layout_run::small_config(true);
  config.n_heads = kHeads;
  config.d_model = kWidth;
  config.dropout = 0.3;
  MultiHeadSelfAttention attention(config, /*layer=*/1, group, {}, {DType::Float64});
  const std::int64_t part = kWidth / group.world_size();
  Matrix qkv = Matrix::Zero(3 * part, kWidth), projection = Matrix::Zero(kWidth, part);
  for (std::int64_t i = 0; i < part; ++i) {
    qkv(2 * part + i, i % kHeadDim) = 1.0;
    projection(group.rank() * part + i, i) = 1.0;
  }
  set(attention, "query_key_value.weight", reference::to_tensor(qkv, DType::Float64));
  parameter_of(attention, "query_key_value.bias").variable.mutable_value().fill(0.0);
  set(attention, "projection.weight", reference::to_tensor(projection, DType::Float64));
  parameter_of(attention, "projection.bias").variable.mutable_value().fill(0.0);
  Matrix x = Matrix::Zero(2 * kTokens, kWidth);
  for (std::int64_t row = 0; row < 2 * kTokens; ++row) x(row, row % kTokens) = 1.0;
  return to_matrix(
      attention.forward(Variable(reference::to_tensor(x, DType::Float64)), {}, context).value());
}

ForwardContext training_context() {
  ForwardContext context;
  context.training = true;
  context.seed = 5;
  context.step = 4;
  context.first_sequence = 3;
  context.tokens = kTokens;
  return context;
}

// Ranks that all begin with the same mask drop the same in heads that are not the same.
TEST(Trap08, ShardedHeadsDropTheirSlicesOfTheMaskOfAllHeads) {
  const ForwardContext context = training_context();
  Matrix one;
  run_ranks(1, 1, [&](Communicator& group) { one = attention_probabilities(group, context); });
  // Element by element from the definition of the mask.
  const DropoutMask mask = Dropout(0.3, "attention", 1).mask(context, 0);
  const AttentionShape all_heads{2, kTokens, kHeads, kHeadDim, 0, kHeads, context.first_sequence};
  for (std::int64_t row = 0; row < 2 * kTokens; ++row) {
    for (std::int64_t column = 0; column < kWidth; ++column) {
      const std::int64_t query = row % kTokens, key = column % kHeadDim;
      const double factor =
          key > query ? 0.0
                      : attention_reference::dropout_factor(all_heads, mask, row / kTokens,
                                                            column / kHeadDim, query, key);
      EXPECT_NEAR(one(row, column), factor / static_cast<double>(query + 1), 1e-15);
    }
  }
  for (int tp : {2, 4}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      EXPECT_EQ(attention_probabilities(group, context), one) << "tp=" << tp;
    });
  }
}

// Ranks with masks of their own drop different elements of what should be one activation; slices of
// its tokens with the same mask drop the same in different tokens.
TEST(Trap08, ReplicatedActivationsHaveOneMaskAndSlicesOfThemItsSlices) {
  const Dropout dropout(0.3, "here", 2);
  const ForwardContext context = training_context();
  const std::int64_t rows = 4 * kTokens;
  const Tensor ones = Tensor::full({rows, kWidth}, 1.0, DType::Float64);
  const Tensor one = dropout.forward(Variable(ones), context).value();
  EXPECT_NEAR((to_matrix(one).array() == 0.0).cast<double>().mean(), 0.3, 0.1);
  for (int tp : {2, 4}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      const Tensor replicated = dropout.forward(Variable(ones), context).value();
      EXPECT_TRUE(reference::bitwise_equal(replicated, one));
      ForwardContext own = context;
      own.layout = TokenLayout::Sliced;
      own.first_slice_row = group.rank() * rows / tp;
      const Tensor sliced = dropout.forward(Variable(own_part(ones, 0, group)), own).value();
      EXPECT_TRUE(reference::bitwise_equal(sliced, own_part(one, 0, group)));
    });
  }
}

TEST(Trap08, TheLossOfAModelWithDropoutDoesNotDependOnTp) {
  const Tensor ids = reference::random_ids({2, 12}, 0, 37, 1);
  const auto loss = [&](int tp, double dropout, bool sequence_parallel) {
    double value = 0.0;
    run_ranks(tp, 1, [&](Communicator& world) {
      GPTConfig config = layout_run::small_config(true);
      config.dropout = dropout;
      GPTModel model(config, world, {DType::Float64},
                     {sequence_parallel, Recompute::None, nullptr});
      initialize_parameters(model, 7);
      const double own = model.loss(ids, ids, training_context()).value().item();
      if (world.rank() == 0) value = own;
    });
    return value;
  };
  const double expected = loss(1, 0.5, false);
  EXPECT_GT(std::abs(loss(1, 0.0, false) - expected), 0.01) << "proves nothing";
  for (int tp : {2, 4}) {
    EXPECT_NEAR(loss(tp, 0.5, false), expected, 1e-12 * expected) << "tp=" << tp;
    EXPECT_NEAR(loss(tp, 0.5, true), expected, 1e-12 * expected) << "tp=" << tp << ", sliced";
  }
}

// Activations that are computed once more with masks drawn once more are not those of the loss.
TEST(Trap09, RecomputedBlocksDropTheSameAgain) {
  ASSERT_GT(layout_run::small_config(true).dropout, 0.0);
  for (int tp : {1, 2}) {
    layout_run::RunSettings settings;
    settings.layout.tensor_parallel = tp;
    settings.layout.sequence_parallel = tp > 1;
    settings.dtype = DType::Float32;
    settings.steps = 2;
    const layout_run::LayoutRun kept = layout_run::train(settings);
    settings.layout.recompute = Recompute::Block;
    layout_run::expect_same_bits(layout_run::train(settings), kept);
  }
}

// Two layers of the same shape in one model.
class Pair : public Module {
 public:
  Pair() : first_(64, 64), second_(64, 64) {
    register_module("first", first_);
    register_module("second", second_);
  }

 private:
  Linear first_, second_;
};

// Layers that draw from the same stream start equal.
TEST(Trap26, TwoLayersOfTheSameShapeStartDifferently) {
  const Pair pair;
  initialize_parameters(pair, 1);
  const Matrix first = to_matrix(parameter_of(pair, "first.weight").variable.value());
  const Matrix second = to_matrix(parameter_of(pair, "second.weight").variable.value());
  EXPECT_EQ((first.array() == second.array()).count(), 0);
  // Not correlated either: within five standard errors, of 4096 pairs.
  EXPECT_LT(std::abs(first.cwiseProduct(second).sum()) / first.norm() / second.norm(),
            5.0 / std::sqrt(4096.0));
}

TEST(Trap26, NoTwoMatricesOfAModelStartEqual) {
  run_ranks(2, 1, [](Communicator& world) {
    GPTModel model(layout_run::small_config(false), world);
    initialize_parameters(model, 1);
    std::map<std::uint64_t, std::string> seen;
    for (const auto& [name, parameter] : model.named_parameters()) {
      const Tensor& value = parameter->variable.value();
      // Rank 1 of 2 holds nothing but padding of a vocabulary of 37.
      if (value.rank() < 2 || parameter->shard.real_extent() == 0) continue;
      const Tensor start = value.slice(0, 0, 8).slice(1, 0, 8).contiguous();
      const auto [other, is_new] = seen.emplace(checksum(start), name);
      EXPECT_TRUE(is_new) << name << " starts as " << other->second;
    }
  });
}

}  // namespace
}  // namespace shardgrad
