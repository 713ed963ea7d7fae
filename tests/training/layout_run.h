// A few training steps of a small GPT in any layout, with everything that came of them reassembled.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tests/support/named_tensors.h"
#include "training/gathered.h"

namespace shardgrad::layout_run {

using reference::expect_close;
using reference::relative;
using reference::Tensors;

constexpr std::int64_t kSequences = 8, kTokens = 12;

/// Neither 2 nor 4 divides its vocabulary; its layers have dropout.
inline GPTConfig small_config(bool tied) {
  GPTConfig config;
  config.vocab_size = 37;
  config.max_position_embeddings = kTokens;
  config.n_layers = 2;
  config.n_heads = 4;
  config.d_model = 16;
  config.d_ff = 32;
  config.dropout = 0.1;
  config.initializer_range = 0.2;
  config.tie_embeddings = tied;
  return config;
}

/// The batch of a step. Sequences are padded unequally, one of them to nothing, so that neither the
/// micro-batches nor the ranks have equal numbers of targets.
inline MicroBatch batch_of(std::int64_t step, std::int64_t first, std::int64_t count) {
  const Tensor ids = reference::random_ids({kSequences, kTokens}, 0, 37, 5 + 2 * step);
  const Tensor targets = reference::random_ids({kSequences, kTokens}, 0, 37, 6 + 2 * step);
  Tensor padded = targets.clone();
  const std::int64_t lengths[kSequences] = {12, 3, 7, 0, 12, 1, 9, 5};
  for (std::int64_t sequence = 0; sequence < kSequences; ++sequence) {
    for (std::int64_t t = lengths[sequence]; t < kTokens; ++t) {
      padded.data<std::int32_t>()[sequence * kTokens + t] = -100;
    }
  }
  return {ids.slice(0, first, count).contiguous(), padded.slice(0, first, count).contiguous()};
}

struct RunSettings {
  TrainingLayout layout;
  bool tied = true;
  std::int64_t micro_batches = 1;
  DType dtype = DType::Float64;
  int steps = 5;
  Device device = {};  ///< of every rank
};

/// What came of it, on the host: the gradients of the first step and the last parameters, gathered.
struct LayoutRun {
  Tensors initial, gradients, parameters;
  std::vector<double> losses, norms;
};

/// What several ranks hold must be the same bits on all of them.
inline void expect_no_drift(GPTTraining& training) {
  const auto expect_same = [](const NamedParameter& entry, Communicator& group) {
    Tensor first = entry.parameter->variable.value().clone();
    group.broadcast(first, 0);
    EXPECT_TRUE(reference::bitwise_equal(entry.parameter->variable.value().to(Device{}),
                                         first.to(Device{})))
        << entry.name << " on rank " << group.rank() << " of " << group.world_size();
  };
  for (const NamedParameter& entry : training.parameters().parameters()) {
    expect_same(entry, training.mesh().data_parallel());
    if (!entry.parameter->shard.is_sharded()) expect_same(entry, training.mesh().world());
  }
}

/// One rank's part of a run; `run` is filled by rank 0.
inline void train_rank(const RunSettings& settings, Communicator& world, LayoutRun& run) {
  TrainingSettings training_settings;
  training_settings.adamw.max_gradient_norm = 0.5;
  training_settings.seed = 7;
  training_settings.label_smoothing = 0.1;
  GPTTraining training(small_config(settings.tied), settings.layout, world,
                       {settings.dtype, settings.device}, training_settings);
  const bool leads = world.rank() == 0;
  const auto keep = [&](Tensors whole, Tensors& all) {
    if (leads) all = std::move(whole);
  };
  keep(gather_parameters(training), run.initial);
  for (int step = 0; step < settings.steps; ++step) {
    const StepOutcome outcome = training.step(
        {step, 1e-2, kSequences, settings.micro_batches},
        [&](std::int64_t first, std::int64_t count) { return batch_of(step, first, count); });
    const StepNumbers numbers = training.numbers(outcome);
    EXPECT_FALSE(numbers.skipped);
    if (step == 0) keep(gather_gradients(training), run.gradients);
    if (leads) {
      run.losses.push_back(numbers.loss);
      run.norms.push_back(numbers.gradient_norm);
    }
    expect_no_drift(training);
  }
  keep(gather_parameters(training), run.parameters);
}

inline LayoutRun train(const RunSettings& settings) {
  LayoutRun run;
  run_ranks({std::vector<Device>(settings.layout.world_size(), settings.device), 1},
            [&](Communicator& world) { train_rank(settings, world, run); });
  return run;
}

inline void expect_same_bits(const LayoutRun& found, const LayoutRun& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  EXPECT_EQ(found.norms, expected.norms);
  for (const auto& [name, tensor] : expected.gradients) {
    EXPECT_TRUE(reference::bitwise_equal(found.gradients.at(name), tensor)) << name;
  }
  for (const auto& [name, tensor] : expected.parameters) {
    EXPECT_TRUE(reference::bitwise_equal(found.parameters.at(name), tensor)) << name;
  }
}

}  // namespace shardgrad::layout_run
