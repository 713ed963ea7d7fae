// A few training steps of a small GPT in any layout, on any device: what the parity tests compare.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "model/gpt_model.h"
#include "nn/optim/adamw.h"
#include "parallel/communication_queue.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tests/support/named_tensors.h"

namespace shardgrad::training_run {

using reference::expect_close;
using reference::relative;
using reference::Tensors;

inline GPTConfig small_config(bool tied) {
  GPTConfig config;
  config.vocab_size = 101;  // not divisible by 2 or 4
  config.max_position_embeddings = 37;
  config.n_layers = 2;
  config.n_heads = 4;
  config.d_model = 48;
  config.d_ff = 96;
  config.dropout = 0.1;
  config.tie_embeddings = tied;
  return config;
}

struct TrainingOptions {
  int tp = 1;
  DType dtype = DType::Float32;
  bool tied = true;
  int steps = 1;
  double learning_rate = 1e-2;
  Device device = {};  ///< of every rank
  bool sequence_parallel = false;
  Recompute recompute = Recompute::None;
  bool overlap = false;  ///< with a CommunicationQueue
};

/// What came of it. The tensors are gathered, on the host.
struct TrainingRun {
  Tensors initial, gradients, parameters;
  std::vector<double> losses, norms;
};

/// What every rank holds whole must still be the same bits on all of them.
inline void expect_no_drift(const GPTModel& model, Communicator& world) {
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (parameter->shard.is_sharded()) continue;
    Tensor rank0 = parameter->variable.value().clone();
    world.broadcast(rank0, 0);
    EXPECT_TRUE(
        reference::bitwise_equal(parameter->variable.value().to(Device{}), rank0.to(Device{})))
        << name << " on rank " << world.rank();
  }
}

/// Trains a few clipped steps, dropout on.
inline TrainingRun train(const TrainingOptions& training) {
  TrainingRun run;
  run_ranks({std::vector<Device>(training.tp, training.device), 1}, [&](Communicator& world) {
    std::optional<CommunicationQueue> queue;
    if (training.overlap) queue.emplace(world, training.device);
    GPTModel model(small_config(training.tied), world, {training.dtype, training.device},
                   {training.sequence_parallel, training.recompute, queue ? &*queue : nullptr});
    FlatParameters flat(model.named_parameters());
    initialize_parameters(model, 7);
    const auto gather = [&](bool gradient, Tensors& all) {
      for (const auto& [name, parameter] : model.named_parameters()) {
        const Variable& variable = parameter->variable;
        const Tensor global = gather_shards(gradient ? variable.gradient() : variable.value(),
                                            parameter->shard, world);
        if (world.rank() == 0) all[name] = global.to(Device{});
      }
    };
    gather(false, run.initial);
    AdamWOptions options;
    options.max_gradient_norm = 0.5;
    AdamW optimizer(flat, options);
    const Tensor ids = reference::random_ids({3, 36}, 0, 101, 5);
    const Tensor targets = reference::random_ids({3, 36}, 0, 101, 6);
    for (int step = 0; step < training.steps; ++step) {
      flat.clear_gradients();
      ForwardContext context;
      context.training = true;
      context.seed = 7;
      context.step = step;
      const Variable loss = model.loss(ids, targets, context);
      backward(loss);
      sum_partial_gradients(flat, world);
      const Tensor norm = gradient_norm(flat, world);
      if (step == 0) gather(true, run.gradients);
      optimizer.step(training.learning_rate, norm);
      if (world.rank() == 0) {
        run.losses.push_back(loss.value().item());
        run.norms.push_back(norm.item());
      }
    }
    gather(false, run.parameters);
    expect_no_drift(model, world);
  });
  return run;
}

}  // namespace shardgrad::training_run
