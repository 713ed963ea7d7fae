// Training steps whose memory is watched, in any layout, on any device.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "model/gpt_model.h"
#include "nn/optim/adamw.h"
#include "parallel/communication_queue.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tensor/allocator.h"
#include "tests/support/reference.h"

namespace shardgrad::allocation_run {

struct AllocationOptions {
  int tp = 1;
  int intra_op_threads = 1;
  bool tied = true;
  Device device = {};  ///< of every rank
  DType dtype = DType::Float32;
  bool sequence_parallel = false;
  Recompute recompute = Recompute::None;
  bool overlap = false;
};

/// Expects that steps after the first take no memory from the system, and leave none behind. Every
/// step is two micro-batches, with logits computed beside them as an evaluation would.
inline void train_steps(const AllocationOptions& options) {
  GPTConfig config;
  config.vocab_size = 61;
  config.max_position_embeddings = 16;
  config.n_layers = 3;
  config.n_heads = 4;
  config.d_model = 64;
  config.d_ff = 256;
  config.tie_embeddings = options.tied;
  const std::vector<Device> devices(options.tp, options.device);
  run_ranks({devices, options.intra_op_threads}, [&](Communicator& world) {
    std::optional<CommunicationQueue> queue;
    if (options.overlap) queue.emplace(world, options.device);
    GPTModel model(config, world, {options.dtype, options.device},
                   {options.sequence_parallel, options.recompute, queue ? &*queue : nullptr});
    FlatParameters flat(model.named_parameters());
    initialize_parameters(model, 1);
    AdamWOptions adamw;
    adamw.max_gradient_norm = 1.0;
    AdamW optimizer(flat, adamw);
    const Tensor ids = reference::random_ids({4, 16}, 0, 61, 1);
    std::int64_t allocations = 0, in_use = 0;
    for (int step = 0; step < 5; ++step) {
      flat.clear_gradients();
      ForwardContext context;
      context.training = true;
      context.step = step;
      for (std::int64_t sequence : {0, 2}) {
        context.first_sequence = sequence;
        const Tensor half = ids.slice(0, sequence, 2);
        CrossEntropyOptions loss_options;
        loss_options.normalizer = 64.0;
        backward(model.loss(half, half, context, loss_options));
      }
      optimizer.step(1e-3, gradient_norm(flat, world));
      {
        const NoGradGuard no_grad;
        EXPECT_EQ(model.forward(ids, {}, ids).logits.size(-1), 61);
      }
      world.barrier();
      const AllocatorStats stats = allocator_for(options.device).stats();
      if (step > 0) {
        EXPECT_EQ(stats.system_allocations, allocations) << "step " << step;
        EXPECT_EQ(stats.bytes_in_use, in_use) << "step " << step;
      }
      allocations = stats.system_allocations;
      in_use = stats.bytes_in_use;
      world.barrier();
    }
  });
}

}  // namespace shardgrad::allocation_run
