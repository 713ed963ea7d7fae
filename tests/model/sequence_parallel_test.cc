// Sequence parallelism computes what one rank computes, dropout on.
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "tests/model/training_run.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using namespace training_run;

constexpr GPTParallelism kSequenceParallel{true, Recompute::None, nullptr};

// tp, and whether the output head is the token embedding.
class SequenceParallelModel : public ::testing::TestWithParam<std::tuple<int, bool>> {
 protected:
  static TrainingOptions options(DType dtype, int steps) {
    TrainingOptions options;
    options.tp = std::get<0>(GetParam());
    options.tied = std::get<1>(GetParam());
    options.dtype = dtype;
    options.steps = steps;
    options.sequence_parallel = true;
    return options;
  }
  static TrainingOptions on_one_rank(TrainingOptions options) {
    options.tp = 1;
    options.sequence_parallel = false;
    return options;
  }
};

TEST_P(SequenceParallelModel, Float64EqualsOneRank) {
  const TrainingOptions sliced = options(DType::Float64, 5);
  const TrainingRun one = train(on_one_rank(sliced)), many = train(sliced);
  for (int step = 0; step < 5; ++step) {
    EXPECT_LT(relative(many.losses[step], one.losses[step]), 1e-9) << "step " << step;
    EXPECT_LT(relative(many.norms[step], one.norms[step]), 1e-9) << "step " << step;
    EXPECT_GT(one.norms[step], 0.5) << "the gradients of step " << step << " are not clipped";
  }
  for (const auto& [name, gradient] : one.gradients) {
    EXPECT_GT(reference::to_matrix(gradient).norm(), 0.0) << name;
  }
  expect_close(many.gradients, one.gradients, 1e-9);
  expect_close(many.parameters, one.parameters, 1e-9);
}

TEST_P(SequenceParallelModel, BFloat16FollowsFloat32) {
  TrainingOptions sliced = options(DType::BFloat16, 20);
  sliced.learning_rate = 1e-3;
  TrainingOptions exact = on_one_rank(sliced);
  exact.dtype = DType::Float32;
  const TrainingRun one = train(exact), many = train(sliced);
  expect_close(many.gradients, one.gradients, 0.03);
  for (int step = 0; step < 20; ++step) {
    EXPECT_LT(relative(many.losses[step], one.losses[step]), 4e-3) << "step " << step;
  }
}

// Of what each rank applies to its own tokens, the gradients are those tokens' alone; of
// all else they are complete.
TEST_P(SequenceParallelModel, PartialGradientsAreMarkedAndAddUp) {
  const auto [tp, tied] = GetParam();
  const Tensor ids = reference::random_ids({3, 36}, 0, 101, 5);
  ForwardContext context;
  context.training = true;
  context.seed = 7;
  Tensors complete;
  run_ranks(1, 1, [&, tied = tied](Communicator& world) {
    GPTModel model(small_config(tied), world, {DType::Float64});
    initialize_parameters(model, 7);
    backward(model.loss(ids, ids, context));
    for (const auto& [name, parameter] : model.named_parameters()) {
      EXPECT_FALSE(parameter->partial_gradient) << name;
      complete[name] = gather_shards(parameter->variable.gradient(), parameter->shard, world);
    }
  });
  run_ranks(tp, 1, [&, tied = tied](Communicator& world) {
    GPTModel model(small_config(tied), world, {DType::Float64}, kSequenceParallel);
    initialize_parameters(model, 7);
    backward(model.loss(ids, ids, context));
    std::set<std::string> partial, expected{"position_embedding.weight"};
    for (const auto& [name, parameter] : model.named_parameters()) {
      if (name.find("norm.") != std::string::npos ||
          name.find("projection.bias") != std::string::npos) {
        expected.insert(name);
      }
      Tensor gradient = parameter->variable.gradient();
      if (!parameter->partial_gradient) {
        const Tensor whole = gather_shards(gradient, parameter->shard, world);
        EXPECT_LT(reference::relative_difference(whole, complete.at(name)), 1e-9) << name;
        continue;
      }
      partial.insert(name);
      EXPECT_FALSE(parameter->shard.is_sharded()) << name;
      EXPECT_GT(reference::relative_difference(gradient, complete.at(name)), 0.1)
          << name << " is complete";
      world.all_reduce(gradient);
      EXPECT_LT(reference::relative_difference(gradient, complete.at(name)), 1e-9) << name;
      Tensor of_rank_0 = gradient.clone();
      world.broadcast(of_rank_0, 0);
      EXPECT_TRUE(reference::bitwise_equal(gradient, of_rank_0)) << name;
    }
    EXPECT_EQ(partial, expected);
    EXPECT_EQ(partial.size(), 1u + 2u * (4u + 2u) + 2u);
  });
}

// The slices of a micro-batch are rows of the step's batch; its masks are the batch's.
TEST_P(SequenceParallelModel, MicroBatchesAddUpToTheBatchOfOneRank) {
  const auto [tp, tied] = GetParam();
  const Tensor ids = reference::random_ids({4, 18}, 0, 101, 5);
  const auto gradients_of = [&, tied = tied](int ranks, const GPTParallelism& parallelism,
                                             std::int64_t sequences) {
    Tensors gradients;
    run_ranks(ranks, 1, [&](Communicator& world) {
      GPTModel model(small_config(tied), world, {DType::Float64}, parallelism);
      FlatParameters flat(model.named_parameters());
      initialize_parameters(model, 7);
      for (std::int64_t first = 0; first < 4; first += sequences) {
        ForwardContext context;
        context.training = true;
        context.first_sequence = first;
        const Tensor part = ids.slice(0, first, sequences);
        CrossEntropyOptions loss_options;
        loss_options.normalizer = 4.0 * 18.0;
        backward(model.loss(part, part, context, loss_options));
      }
      sum_partial_gradients(flat, world);
      for (const auto& [name, parameter] : model.named_parameters()) {
        const Tensor whole = gather_shards(parameter->variable.gradient(), parameter->shard, world);
        if (world.rank() == 0) gradients[name] = whole;
      }
    });
    return gradients;
  };
  expect_close(gradients_of(tp, kSequenceParallel, 2), gradients_of(1, {}, 4), 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Layouts, SequenceParallelModel,
                         ::testing::Combine(::testing::Values(2, 4), ::testing::Bool()));

// The logits of all positions, with a graph and without, and B*T that tp does not divide without.
TEST(SequenceParallel, LogitsOfAllPositions) {
  const Tensor even = reference::random_ids({2, 9}, 0, 101, 1);
  const Tensor odd = reference::random_ids({1, 9}, 0, 101, 2);
  run_ranks(2, 1, [&](Communicator& world) {
    GPTModel plain(small_config(true), world, {DType::Float64});
    GPTModel sliced(small_config(true), world, {DType::Float64}, kSequenceParallel);
    initialize_parameters(plain, 1);
    initialize_parameters(sliced, 1);
    const GPTOutput with_graph = sliced.forward(even, {}, even);
    const GPTOutput expected = plain.forward(even, {}, even);
    EXPECT_LT(reference::relative_difference(with_graph.logits.value(), expected.logits.value()),
              1e-12);
    EXPECT_NEAR(with_graph.loss.value().item(), expected.loss.value().item(), 1e-12);
    backward(with_graph.loss);
    const NoGradGuard no_grad;
    for (const Tensor& ids : {even, odd}) {
      EXPECT_TRUE(reference::bitwise_equal(sliced.forward(ids, {}, {}).logits.value(),
                                           plain.forward(ids, {}, {}).logits.value()));
      EXPECT_EQ(sliced.loss(ids, ids, {}).value().item(), plain.loss(ids, ids, {}).value().item());
    }
  });
}

TEST(SequenceParallel, TokensThatDoNotDivideAreAnError) {
  EXPECT_EQ(error_of([] {
              run_ranks(2, 1, [](Communicator& world) {
                GPTModel model(small_config(true), world, {}, kSequenceParallel);
                initialize_parameters(model, 1);
                const Tensor ids = reference::random_ids({3, 9}, 0, 101, 1);
                model.loss(ids, ids, {});
              });
            }),
            "[GPTModel] sequence parallelism cannot slice 3 sequences of 9 tokens, B*T = 27 rows, "
            "over tp=2; choose a batch or a length of which tp divides the product");
}

TEST(SequenceParallel, OneRankIsAnError) {
  EXPECT_EQ(error_of([] {
              run_ranks(1, 1, [](Communicator& world) {
                GPTModel model(small_config(true), world, {}, kSequenceParallel);
              });
            }),
            "[GPTModel] sequence parallelism shares the tokens among the tensor-parallel ranks: "
            "with tp=1 it has no meaning; --sequence-parallel needs tp > 1");
}

}  // namespace
}  // namespace shardgrad
