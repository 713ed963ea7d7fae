// Traps of training steps on several ranks: 7, 18, 19 and 20.
//
// Trap 23, a checkpoint that can be read in the layout only that wrote it, is the subject of the
// tests of checkpoints, and so is what 7, 13 and 17 say of loading.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/batch_sampler.h"
#include "tests/training/layout_run.h"
#include "tests/traps/trap_testing.h"

namespace shardgrad {
namespace {

using namespace trap_testing;
using layout_run::kSequences;
using layout_run::LayoutRun;
using layout_run::RunSettings;

TrainingLayout layout_of(int tp, int dp, bool sequence_parallel = false, int zero_stage = 0) {
  TrainingLayout layout;
  layout.tensor_parallel = tp;
  layout.data_parallel = dp;
  layout.sequence_parallel = sequence_parallel;
  layout.zero_stage = zero_stage;
  return layout;
}

// What several ranks hold is nowhere compared while they train: it must never differ in a bit.
TEST(Trap07, WhatSeveralRanksHoldHasTheSameChecksumOnAllOfThemAfterAnyNumberOfSteps) {
  constexpr int kSteps = 3;
  for (const TrainingLayout& layout :
       {layout_of(2, 1), layout_of(4, 1, true), layout_of(2, 2, true), layout_of(2, 2, false, 1)}) {
    for (const DType dtype : {DType::Float32, DType::BFloat16}) {
      // By rank, then after how many steps, then the name.
      using Checksums = std::map<std::pair<int, std::string>, std::uint64_t>;
      std::vector<Checksums> replicated(layout.world_size()), all(layout.world_size());
      run_ranks(layout.world_size(), 1, [&](Communicator& world) {
        TrainingSettings settings;
        settings.adamw.max_gradient_norm = 0.5;
        GPTTraining training(layout_run::small_config(false), layout, world, {dtype}, settings);
        const auto take = [&](int steps) {
          for (const auto& [name, parameter] : training.parameters().parameters()) {
            const std::uint64_t sum = checksum(parameter->variable.value());
            all[world.rank()][{steps, name}] = sum;
            if (!parameter->shard.is_sharded()) replicated[world.rank()][{steps, name}] = sum;
          }
        };
        take(0);
        for (int step = 0; step < kSteps; ++step) {
          training.step({step, 1e-2, kSequences, 1}, [&](std::int64_t first, std::int64_t count) {
            return layout_run::batch_of(step, first, count);
          });
          take(step + 1);
        }
      });
      EXPECT_EQ(replicated[0].size(), (kSteps + 1u) * (2 * 6 + 2 + 1)) << layout.to_string();
      for (int rank = 0; rank < layout.world_size(); ++rank) {
        EXPECT_EQ(replicated[rank], replicated[0]) << layout.to_string() << ", rank " << rank;
        EXPECT_EQ(all[rank], all[rank % layout.tensor_parallel])
            << layout.to_string() << ", rank " << rank;
      }
      for (const auto& [key, sum] : replicated[0]) {
        if (key.first == 0) continue;
        EXPECT_NE(sum, (replicated[0].at({key.first - 1, key.second})))
            << key.second << " has not learned, which proves nothing";
      }
    }
  }
}

// Ranks that hold parts of one model and read different text add up what does not belong together.
TEST(Trap18, DataIsKeyedByTheDataParallelRankAlone) {
  constexpr std::int64_t kMicroBatches = 2, kTokens = 12;
  std::vector<std::uint16_t> tokens(500);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = i * i % 37;
  const BatchSampler sampler(TokenDataset(std::move(tokens)), kTokens, 3);
  const auto batch_of = [&](std::int64_t first, std::int64_t count) {
    const Batch batch = sampler.training_batch(100 + first, count);
    return MicroBatch{batch.input_ids, batch.targets};
  };
  std::vector<std::vector<std::uint64_t>> hashes(4);
  std::vector<std::map<std::int64_t, std::uint64_t>> sequences(4);
  run_ranks(4, 1, [&](Communicator& world) {
    GPTTraining training(layout_run::small_config(true), layout_of(2, 2), world, {}, {});
    const auto recorded = [&](std::int64_t first, std::int64_t count) {
      const MicroBatch batch = batch_of(first, count);
      hashes[world.rank()].push_back(checksum(batch.input_ids) ^ 31 * checksum(batch.targets));
      for (std::int64_t i = 0; i < count; ++i) {
        sequences[world.rank()][first + i] = checksum(batch.input_ids.slice(0, i, 1));
      }
      return batch;
    };
    training.step({4, 1e-2, kSequences, kMicroBatches}, recorded);
    EXPECT_EQ(hashes[world.rank()].size(), std::size_t{kMicroBatches});
    training.evaluate(kSequences, recorded);
  });
  EXPECT_EQ(hashes[0], hashes[1]);  // the ranks of one copy of the model
  EXPECT_EQ(hashes[2], hashes[3]);
  for (std::size_t i = 0; i < hashes[0].size(); ++i) {
    EXPECT_NE(hashes[0][i], hashes[2][i]) << "two copies of the model read the same";
  }
  // Both copies together read the batch of one rank.
  std::map<std::int64_t, std::uint64_t> together = sequences[0];
  together.insert(sequences[2].begin(), sequences[2].end());
  ASSERT_EQ(together.size(), std::size_t{kSequences});
  const Tensor whole = batch_of(0, kSequences).input_ids;
  for (const auto& [sequence, sum] : together) {
    EXPECT_EQ(sum, checksum(whole.slice(0, sequence, 1))) << "sequence " << sequence;
  }
}

LayoutRun train(const TrainingLayout& layout, std::int64_t micro_batches) {
  RunSettings settings;
  settings.layout = layout;
  settings.micro_batches = micro_batches;
  settings.steps = 3;
  return layout_run::train(settings);
}

void expect_same_run(const LayoutRun& found, const LayoutRun& expected) {
  ASSERT_EQ(found.losses.size(), expected.losses.size());
  for (std::size_t step = 0; step < expected.losses.size(); ++step) {
    EXPECT_NEAR(found.losses[step], expected.losses[step], 1e-10) << "step " << step;
    EXPECT_NEAR(found.norms[step], expected.norms[step], 1e-10) << "step " << step;
  }
  layout_run::expect_close(found.gradients, expected.gradients, 1e-9);
  layout_run::expect_close(found.parameters, expected.parameters, 1e-9);
}

// A mean over all ranks of the run counts each copy's gradients once for each of its tp ranks, and
// mixes the shards of different rows.
TEST(Trap19, TwoCopiesOfTwoRanksTrainAsOneRankOnTheWholeBatch) {
  const LayoutRun one = train(layout_of(1, 1), 1);
  expect_same_run(train(layout_of(2, 2), 1), one);
  expect_same_run(train(layout_of(2, 2, true, 1), 1), one);
}

// The mean of the micro-batches' means gives a token that stands beside much padding more weight.
TEST(Trap20, FourMicroBatchesOfUnequalPaddingTrainAsOne) {
  const LayoutRun one = train(layout_of(1, 1), 1);
  expect_same_run(train(layout_of(1, 1), 4), one);
  expect_same_run(train(layout_of(2, 2), 4), one);

  // The loss that is reported, from the sequences' own sums: over all targets that count.
  const MicroBatch batch = layout_run::batch_of(0, 0, kSequences);
  double total = 0.0, mean_of_means = 0.0;
  int targets = 0, means = 0;
  run_ranks(1, 1, [&](Communicator& world) {
    GPTModel model(layout_run::small_config(true), world, {DType::Float64});
    initialize_parameters(model, 7);
    CrossEntropyOptions options;
    options.label_smoothing = 0.1;
    options.normalizer = 1.0;
    for (std::int64_t sequence = 0; sequence < kSequences; ++sequence) {
      ForwardContext context;
      context.training = true;
      context.seed = 7;
      context.first_sequence = sequence;
      const Tensor own = batch.targets.slice(0, sequence, 1);
      const double loss =
          model.loss(batch.input_ids.slice(0, sequence, 1), own, context, options).value().item();
      const std::vector<std::int32_t> labels = own.to_vector<std::int32_t>();
      const auto count = labels.size() - std::count(labels.begin(), labels.end(), -100);
      total += loss;
      targets += static_cast<int>(count);
      if (count == 0) continue;
      mean_of_means += loss / static_cast<double>(count);
      ++means;
    }
  });
  EXPECT_NEAR(one.losses[0], total / targets, 1e-12);
  EXPECT_GT(std::abs(mean_of_means / means - total / targets), 1e-3) << "proves nothing";
}

}  // namespace
}  // namespace shardgrad
