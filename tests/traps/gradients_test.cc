// Traps of gradients on several ranks: 3, 10, 11, 12, 21, 22 and 25.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <thread>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/gelu.h"
#include "nn/linear.h"
#include "parallel/communication_queue.h"
#include "parallel/data_parallel.h"
#include "parallel/regions.h"
#include "tests/support/backward_from.h"
#include "tests/training/layout_run.h"
#include "tests/traps/trap_testing.h"

namespace shardgrad {
namespace {

using namespace trap_testing;
using layout_run::LayoutRun;
using layout_run::RunSettings;

RunSettings settings_of(int tp, bool sequence_parallel, bool tied = true) {
  RunSettings settings;
  settings.layout.tensor_parallel = tp;
  settings.layout.sequence_parallel = sequence_parallel;
  settings.tied = tied;
  settings.steps = 1;
  return settings;
}

// Behind a collective that the graph knows nothing of, nothing learns: on no rank, or on one alone.
TEST(Trap03, EveryParameterOfEveryRankHasAGradientAtTp2) {
  for (const bool tied : {false, true}) {
    for (const bool sequence_parallel : {false, true}) {
      for (const Recompute recompute : {Recompute::None, Recompute::Block}) {
        for (const bool overlap : {false, true}) {
          run_ranks(2, 1, [&](Communicator& world) {
            std::optional<CommunicationQueue> queue;
            if (overlap) queue.emplace(world);
            GPTConfig config = layout_run::small_config(tied);
            config.vocab_size = 101;  // of which rank 1 holds some
            GPTModel model(config, world, {DType::Float64},
                           {sequence_parallel, recompute, queue ? &*queue : nullptr});
            initialize_parameters(model, 7);
            const Tensor ids = reference::random_ids({4, 12}, 0, 101, 1);
            backward(model.loss(ids, ids, {}));
            for (const auto& [name, parameter] : model.named_parameters()) {
              const Tensor gradient = parameter->variable.gradient();
              ASSERT_TRUE(gradient.defined()) << name << " on rank " << world.rank();
              EXPECT_GT(to_matrix(gradient).norm(), 1e-6) << name << " on rank " << world.rank();
            }
          });
        }
      }
    }
  }
}

// With sequence parallelism a rank's norms and biases see its own tokens alone: their gradients
// are to be summed over the ranks. Left alone they differ; averaged they are tp times too small.
TEST(Trap10, NormAndBiasGradientsOfSlicedTokensAreSummedOverTheRanks) {
  const LayoutRun one = layout_run::train(settings_of(1, false));
  for (int tp : {2, 4}) {
    std::vector<NamedTensors> of_rank(tp);
    run_ranks(tp, 1, [&](Communicator& world) {
      TrainingSettings training_settings;
      training_settings.seed = 7;
      training_settings.label_smoothing = 0.1;
      GPTTraining training(layout_run::small_config(true), settings_of(tp, true).layout, world,
                           {DType::Float64}, training_settings);
      training.step({0, 1e-2, layout_run::kSequences, 1}, [](std::int64_t first, std::int64_t n) {
        return layout_run::batch_of(0, first, n);
      });
      of_rank[world.rank()] = gather_gradients(training);
    });
    int compared = 0;
    for (const auto& [name, expected] : one.gradients) {
      if (name.find("norm.") == std::string::npos &&
          name.find("projection.bias") == std::string::npos) {
        continue;
      }
      ++compared;
      EXPECT_LT(relative_difference(of_rank[0].at(name), expected), 1e-9) << name;
      for (int rank = 1; rank < tp; ++rank) {
        EXPECT_TRUE(reference::bitwise_equal(of_rank[rank].at(name), of_rank[0].at(name)))
            << name << " on rank " << rank;
      }
    }
    EXPECT_EQ(compared, 2 * (4 + 2) + 2);
  }
}

// A norm of all that the ranks hold counts what they all hold tp times, and one of the names a
// tied table twice.
TEST(Trap11, TheGradientNormCountsEveryParameterOnce) {
  for (const bool tied : {true, false}) {
    const LayoutRun one = layout_run::train(settings_of(1, false, tied));
    EXPECT_EQ(one.gradients.count("head.weight"), tied ? 0u : 1u);
    double squares = 0.0;
    for (const auto& [name, gradient] : one.gradients) squares += to_matrix(gradient).squaredNorm();
    for (int tp : {1, 2, 4}) {
      for (const bool sequence_parallel : {false, true}) {
        if (tp == 1 && sequence_parallel) continue;
        EXPECT_NEAR(layout_run::train(settings_of(tp, sequence_parallel, tied)).norms[0],
                    std::sqrt(squares), 1e-12 * std::sqrt(squares))
            << "tp=" << tp << ", tied=" << tied;
      }
    }
  }
}

// Ranks that clip by the norm of their own shards scale what they all hold differently. Seen from
// the second step on, as the first of Adam is the same for any scale.
TEST(Trap12, GradientsAreClippedByTheGlobalNormSoThatRanksStayTheSame) {
  RunSettings settings = settings_of(1, false);
  settings.steps = 3;
  const LayoutRun one = layout_run::train(settings);
  for (int tp : {2, 4}) {
    for (const bool sequence_parallel : {false, true}) {
      settings.layout = settings_of(tp, sequence_parallel).layout;
      const LayoutRun many = layout_run::train(settings);  // after each step: the same bits
      for (int step = 0; step < settings.steps; ++step) {
        EXPECT_GT(many.norms[step], 0.5) << "the gradients of step " << step << " are not clipped";
      }
      layout_run::expect_close(many.parameters, one.parameters, 1e-9);
    }
  }
}

// A collective moves memory, in which the elements of a transposed view lie in another order.
TEST(Trap21, ATransposedTensorCrossesBetweenTheRanksAsItsContiguousCopyDoes) {
  for (int tp : {2, 4}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      const Tensor transposed = random64({12, 8}, 1 + group.rank()).transpose(0, 1);
      ASSERT_FALSE(transposed.is_contiguous());
      const Tensor before = transposed.clone();
      for (const auto region :
           {copy_to_tensor_parallel, reduce_from_tensor_parallel, scatter_to_tensor_parallel,
            gather_from_tensor_parallel, gather_from_sequence_parallel,
            reduce_scatter_to_sequence_parallel}) {
        Variable x(transposed, true), y(before, true);
        const Variable found = region(x, group), expected = region(y, group);
        EXPECT_TRUE(reference::bitwise_equal(found.value(), expected.value()));
        const Tensor dy = random64(found.shape(), 7 + group.rank());
        backward_from(found, dy);
        backward_from(expected, dy);
        EXPECT_TRUE(reference::bitwise_equal(x.gradient(), y.gradient()));
        EXPECT_TRUE(reference::bitwise_equal(transposed, before)) << "it was written into";
      }
      // The same at the entrance of a layer, waited for at once and on a queue.
      CommunicationQueue queue(group);
      for (CommunicationQueue* overlap : {static_cast<CommunicationQueue*>(nullptr), &queue}) {
        const InputRegion gathered = gathered_input(group, overlap);
        EXPECT_TRUE(
            reference::bitwise_equal(gathered.forward(transposed)(), gathered.forward(before)()));
        EXPECT_TRUE(
            reference::bitwise_equal(gathered.backward(transposed)(), gathered.backward(before)()));
        const InputRegion copied = copied_input(group, overlap);
        EXPECT_TRUE(
            reference::bitwise_equal(copied.backward(transposed)(), copied.backward(before)()));
        EXPECT_TRUE(reference::bitwise_equal(transposed, before)) << "it was written into";
      }
    });
  }
}

// A sum over the ranks in a buffer that somebody else reads, too, changes what he reads.
TEST(Trap21, ATensorThatHasAnotherReaderIsNotReducedInPlace) {
  for (int tp : {2, 4}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      const Matrix ones = Matrix::Ones(4, 8);
      // The gradient of a sum is one tensor for both of its terms.
      Variable x(random64({4, 8}, 1), true), y(random64({4, 8}, 2), true);
      backward(sum(add(copy_to_tensor_parallel(x, group), scale(y, 1.0))));
      EXPECT_EQ(relative_difference(x.gradient(), Matrix(tp * ones)), 0.0);
      EXPECT_EQ(relative_difference(y.gradient(), ones), 0.0);
      // The same tensor through the region and past it.
      Variable z(random64({4, 8}, 3), true);
      const Variable hidden = scale(z, 1.0);
      backward(sum(add(copy_to_tensor_parallel(hidden, group), hidden)));
      EXPECT_EQ(relative_difference(z.gradient(), Matrix((tp + 1) * ones)), 0.0);
      // And forward: a rank's own value is needed beside the sum.
      const Variable own(Tensor::full({4, 8}, group.rank() + 1.0, DType::Float64));
      const Variable both = add(reduce_from_tensor_parallel(own, group), own);
      EXPECT_EQ(relative_difference(both.value(),
                                    Matrix((tp * (tp + 1) / 2 + group.rank() + 1.0) * ones)),
                0.0);
    });
  }
}

TEST(Trap22, OverlapChangesNoBit) {
  for (const bool sequence_parallel : {false, true}) {
    RunSettings settings = settings_of(2, sequence_parallel);
    settings.layout.data_parallel = 2;
    settings.layout.bucket_bytes = 1000;
    settings.dtype = DType::Float32;
    settings.steps = 3;
    settings.layout.overlap = false;
    const LayoutRun apart = layout_run::train(settings);
    settings.layout.overlap = true;
    layout_run::expect_same_bits(layout_run::train(settings), apart);
  }
}

// What is on its way is read before it has arrived: certain to show when another rank is late.
TEST(Trap22, WhatIsOnItsWayIsWaitedForHoweverLateAnotherRankIs) {
  const auto be_late_on_rank_1 = [](const Communicator& group) {
    if (group.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  run_ranks(2, 1, [&](Communicator& group) {
    CommunicationQueue queue(group);
    const Tensor rank0 = random64({4, 8}, 1), rank1 = random64({4, 8}, 2);
    const Tensor own = group.rank() == 0 ? rank0 : rank1;
    const Matrix total = to_matrix(rank0) + to_matrix(rank1);
    be_late_on_rank_1(group);
    EXPECT_EQ(relative_difference(copied_input(group, &queue).backward(own.clone())(), total), 0.0);
    be_late_on_rank_1(group);
    EXPECT_EQ(relative_difference(gathered_input(group, &queue).backward(own.clone())(),
                                  Matrix(total.middleRows(2 * group.rank(), 2))),
              0.0);
    be_late_on_rank_1(group);
    Matrix all(8, 8);
    all << to_matrix(rank0), to_matrix(rank1);
    EXPECT_EQ(relative_difference(gathered_input(group, &queue).forward(own.clone())(), all), 0.0);

    Linear layer(8, 4, false, {DType::Float64});
    FlatParameters flat(layer.named_parameters(), DataParallel::region_multiple(2));
    initialize_parameters(layer, 1);
    DataParallel data_parallel(flat, group);
    data_parallel.begin_last_backward();
    be_late_on_rank_1(group);
    backward(sum(layer.forward(Variable(own))));
    data_parallel.finish_gradients();
    EXPECT_LT(relative_difference(gradient_of(layer, "weight"),
                                  Matrix(total.colwise().sum().replicate(4, 1))),
              1e-14);
  });
}

// Counted while the graph is built, consumers that do not lead to the loss are waited for in vain.
TEST(Trap25, AValueThatFeedsTheLossAndADeadBranchKeepsItsGradient) {
  for (int tp : {1, 2}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      Variable x(random64({4, 8}, 1), true), unused(random64({4, 8}, 2), true);
      const Variable y = scale(x, 2.0);
      const Variable dead = add(copy_to_tensor_parallel(gelu(y), group), unused);
      const Variable loss = sum(reduce_from_tensor_parallel(scale(y, 3.0), group));
      const Variable dead_too = gather_from_tensor_parallel(y, group);
      backward(loss);
      EXPECT_EQ(relative_difference(x.gradient(), Matrix::Constant(4, 8, 6.0)), 0.0);
      EXPECT_FALSE(unused.gradient().defined());
    });
  }
}

TEST(Trap25, LogitsThatNobodyDifferentiatesChangeNoGradientOfTheLoss) {
  run_ranks(2, 1, [](Communicator& world) {
    GPTModel model(layout_run::small_config(true), world, {DType::Float64});
    initialize_parameters(model, 7);
    const Tensor ids = reference::random_ids({2, 9}, 0, 37, 1);
    const GPTOutput both = model.forward(ids, {}, ids);
    backward(both.loss);
    std::map<std::string, Tensor> beside_logits;
    for (const auto& [name, parameter] : model.named_parameters()) {
      beside_logits[name] = parameter->variable.gradient().clone();
      parameter->variable.clear_gradient();
    }
    Tensor targets = Tensor::full({2, 9}, -100, DType::Int32);
    targets.slice(1, 0, 8).copy_from(ids.slice(1, 1, 8));
    backward(model.loss(ids, targets, {}));
    for (const auto& [name, parameter] : model.named_parameters()) {
      EXPECT_TRUE(reference::bitwise_equal(parameter->variable.gradient(), beside_logits.at(name)))
          << name;
    }
  });
}

}  // namespace
}  // namespace shardgrad
