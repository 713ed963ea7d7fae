// Traps of layers that are split over the ranks: 1, 2, 4, 13, 14 and 24.
#include <gtest/gtest.h>

#include <optional>

#include "nn/linear.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/launch.h"
#include "parallel/processes.h"
#include "parallel/row_parallel_linear.h"
#include "tests/support/backward_from.h"
#include "tests/support/error_of.h"
#include "tests/training/layout_run.h"
#include "tests/traps/trap_testing.h"

namespace shardgrad {
namespace {

using namespace trap_testing;

constexpr std::int64_t kRows = 8, kIn = 12, kOut = 20;
const ParallelLinearOptions kFloat64{{DType::Float64}};

// A bias that every rank adds before the sum over the ranks counts tp times.
TEST(Trap01, ARowParallelBiasIsAddedOnceAtAnyTp) {
  const Tensor x = random64({kRows, kIn}, 1), weight = random64({kOut, kIn}, 2);
  const Tensor expected = reference::to_tensor(
      (to_matrix(x) * to_matrix(weight).transpose()).array() + 100.0, DType::Float64);
  for (int tp : {1, 2, 4}) {
    for (const bool input_is_parallel : {true, false}) {
      for (const bool sliced : {false, true}) {
        run_ranks(tp, 1, [&](Communicator& group) {
          ParallelLinearOptions options = kFloat64;
          options.sequence_parallel = sliced;
          RowParallelLinear layer(kIn, kOut, true, input_is_parallel, group, options);
          set(layer, "weight", own_part(weight, 1, group));
          parameter_of(layer, "bias").variable.mutable_value().fill(100.0);
          const Variable y = layer.forward(Variable(input_is_parallel ? own_part(x, 1, group) : x),
                                           sliced ? TokenLayout::Sliced : TokenLayout::Replicated);
          EXPECT_LT(
              relative_difference(y.value(), sliced ? own_part(expected, 0, group) : expected),
              1e-14)
              << "tp=" << tp;
        });
      }
    }
  }
}

// Each rank's part of the outputs gives a part of the input's gradient; what lies below the layer
// would learn from its rank's part alone, while every forward pass looks right.
TEST(Trap02, EverythingBelowAColumnParallelLayerGetsTheWholeGradient) {
  const Tensor x = random64({kRows, kIn}, 1), dy = random64({kRows, kOut}, 2);
  const Tensor below_weight = random64({kIn, kIn}, 3), below_bias = random64({kIn}, 4);
  const Tensor weight = random64({kOut, kIn}, 5);
  const Matrix dhidden = to_matrix(dy) * to_matrix(weight);
  for (int tp : {1, 2, 4}) {
    for (const bool gather_output : {false, true}) {
      for (const bool overlap : {false, true}) {
        run_ranks(tp, 1, [&](Communicator& group) {
          std::optional<CommunicationQueue> queue;
          if (overlap) queue.emplace(group);
          ParallelLinearOptions options = kFloat64;
          options.overlap = queue ? &*queue : nullptr;
          Linear below(kIn, kIn, true, {DType::Float64});
          set(below, "weight", below_weight);
          set(below, "bias", below_bias);
          ColumnParallelLinear layer(kIn, kOut, false, gather_output, group, options);
          set(layer, "weight", own_part(weight, 0, group));
          Variable input(x, true);
          backward_from(layer.forward(below.forward(input)),
                        gather_output ? dy : own_part(dy, 1, group));
          EXPECT_LT(relative_difference(input.gradient(), dhidden * to_matrix(below_weight)),
                    1e-14);
          EXPECT_LT(relative_difference(gradient_of(below, "weight"),
                                        Matrix(dhidden.transpose() * to_matrix(x))),
                    1e-14);
          EXPECT_LT(
              relative_difference(gradient_of(below, "bias"), Matrix(dhidden.colwise().sum())),
              1e-14);
        });
      }
    }
  }
}

// What consumes a gathered tensor is the same on every rank, and so is its gradient: the sum of
// those over the ranks is tp times too large.
TEST(Trap04, TheBackwardPassOfAGatherIsItsAdjoint) {
  for (int tp : {1, 2, 4}) {
    const Tensor whole = random64({kRows, kOut}, 1), dy = random64({kRows, kOut}, 2);
    run_ranks(tp, 1, [&](Communicator& group) {
      Variable x(own_part(whole, 1, group), true);
      backward_from(gather_from_tensor_parallel(x, group), dy);
      Tensor inner = Tensor::full(
          {1}, to_matrix(x.value()).cwiseProduct(to_matrix(x.gradient())).sum(), DType::Float64);
      group.all_reduce(inner);
      const double expected = to_matrix(whole).cwiseProduct(to_matrix(dy)).sum();
      EXPECT_NEAR(inner.item(), expected, 1e-12 * to_matrix(whole).norm() * to_matrix(dy).norm());
      EXPECT_TRUE(reference::bitwise_equal(x.gradient(), own_part(dy, 1, group)));
    });
  }
}

TEST(Trap04, ALayerBelowAGatherLearnsAsOnOneRank) {
  const Tensor x = random64({kRows, kIn}, 1), dy = random64({kRows, 3}, 2);
  const Tensor weight = random64({kOut, kIn}, 3), above_weight = random64({3, kOut}, 4);
  const Matrix dhidden = to_matrix(dy) * to_matrix(above_weight);
  const Tensor dweight = reference::to_tensor(dhidden.transpose() * to_matrix(x), DType::Float64);
  for (int tp : {1, 2, 4}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      ColumnParallelLinear layer(kIn, kOut, false, /*gather_output=*/true, group, kFloat64);
      set(layer, "weight", own_part(weight, 0, group));
      Linear above(kOut, 3, false, {DType::Float64});
      set(above, "weight", above_weight);
      backward_from(above.forward(layer.forward(Variable(x))), dy);
      EXPECT_LT(relative_difference(gradient_of(layer, "weight"), own_part(dweight, 0, group)),
                1e-14)
          << "tp=" << tp;
    });
  }
}

// Logits of some text by a model of one rank that holds `weights`.
Tensor logits_on_one_rank(const NamedTensors& weights, const Tensor& ids) {
  Tensor logits;
  run_ranks(1, 1, [&](Communicator& world) {
    GPTModel model(layout_run::small_config(false), world, {DType::Float64});
    initialize_parameters(model, 99);
    set_all(model, weights);
    const NoGradGuard no_grad;
    logits = model.forward(ids, {}, {}).logits.value();
  });
  return logits;
}

// A cut through the middle of [Q; K; V] gives one rank all queries and the other all values: it
// trains, but its weights mean something else on another number of ranks.
TEST(Trap13, TheFusedProjectionIsSplitByHeadsSoThatItsWeightsMeanTheSameAtAnyTp) {
  const Tensor ids = reference::random_ids({2, 9}, 0, 37, 1);
  for (int tp : {2, 4}) {
    Tensor found;
    NamedTensors weights;
    TrainingLayout layout;
    layout.tensor_parallel = tp;
    run_ranks(tp, 1, [&](Communicator& world) {
      GPTTraining training(layout_run::small_config(false), layout, world, {DType::Float64}, {});
      training.step({0, 1e-2, layout_run::kSequences, 1}, [](std::int64_t first, std::int64_t n) {
        return layout_run::batch_of(0, first, n);
      });
      NamedTensors gathered = gather_parameters(training);
      const NoGradGuard no_grad;
      const Tensor logits = training.model().forward(ids, {}, {}).logits.value();
      if (world.rank() != 0) return;
      found = logits;
      weights = std::move(gathered);
    });
    EXPECT_EQ(weights.at("blocks.0.attention.query_key_value.weight").shape(), (Shape{48, 16}));
    EXPECT_LT(relative_difference(logits_on_one_rank(weights, ids), found), 1e-12) << "tp=" << tp;
  }
}

// What tp does not divide must not be cut somehow, nor fail somewhere inside.
TEST(Trap14, HeadsThatTpDoesNotDivideAreOneErrorThatNamesTheTpsThatDo) {
  GPTConfig config = layout_run::small_config(true);
  config.n_heads = 25;
  config.d_model = 100;
  config.d_ff = 400;
  const auto error_at = [&](int tp) {
    return error_of(
        [&] { run_ranks(tp, 1, [&](Communicator& world) { GPTModel model(config, world); }); });
  };
  EXPECT_EQ(error_at(2),
            "[GPTConfig] n_heads 25 is not divisible by tp=2; choose tp from {1, 5, 25}");
  EXPECT_EQ(error_at(1), "");
  config.n_heads = 4;
  config.d_ff = 30;
  EXPECT_EQ(error_at(4), "[GPTConfig] d_ff 30 is not divisible by tp=4; choose tp from {1, 2}")
      << "what divides the heads, too";
  EXPECT_EQ(error_at(2), "");
}

// A run that was to be split and is not trains on, at another speed and with another memory.
TEST(Trap24, ATpThatCannotBeIsAnErrorAndNeverADenseRun) {
  const auto error_of_training = [](int ranks, int tp, int dp) {
    return error_of([&] {
      run_ranks(ranks, 1, [&](Communicator& world) {
        TrainingLayout layout;
        layout.tensor_parallel = tp;
        layout.data_parallel = dp;
        GPTTraining training(layout_run::small_config(true), layout, world, {}, {});
      });
    });
  };
  EXPECT_EQ(error_of_training(1, 2, 1),
            "[Mesh] tensor_parallel_size 2 does not divide the world size 1; choose from {1}");
  EXPECT_EQ(error_of_training(3, 2, 1),
            "[Mesh] tensor_parallel_size 2 does not divide the world size 3; choose from {1, 3}");
  EXPECT_EQ(error_of_training(2, 2, 2),
            "[Mesh] tp 2 x dp 2 are 4 ranks, but the world has 2; choose dp 1, or start 4 ranks");
  EXPECT_EQ(error_of_training(4, 2, 2), "");
  // Started by mpirun as one of two ranks, but built so that it cannot talk to the other.
  ASSERT_FALSE(mpi_linked());
  EXPECT_NE(error_of([] {
              Processes({"mpirun", 0, 2});
            }).find("built without MPI"),
            std::string::npos);
}

}  // namespace
}  // namespace shardgrad
