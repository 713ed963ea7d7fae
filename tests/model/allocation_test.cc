// A training step after the first takes no memory from the system, and none piles up.
#include <gtest/gtest.h>

#include "model/gpt_model.h"
#include "nn/optim/adamw.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tensor/allocator.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

void train_steps(int tp) {
  GPTConfig config;
  config.vocab_size = 61;
  config.max_position_embeddings = 16;
  config.n_layers = 3;
  config.n_heads = 4;
  config.d_model = 64;
  config.d_ff = 256;
  run_ranks(tp, 1, [&](Communicator& world) {
    GPTModel model(config, world);
    FlatParameters flat(model.named_parameters());
    initialize_parameters(model, 1);
    AdamW optimizer(flat);
    const Tensor ids = reference::random_ids({4, 16}, 0, 61, 1);
    std::int64_t allocations = 0, in_use = 0;
    for (int step = 0; step < 5; ++step) {
      flat.clear_gradients();
      ForwardContext context;
      context.training = true;
      context.step = step;
      backward(model.loss(ids, ids, context));
      optimizer.step(1e-3, clip_coefficient(gradient_norm(flat, world), 1.0));
      world.barrier();
      const AllocatorStats stats = allocator_for({}).stats();
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

TEST(Allocation, NoneAfterTheFirstStepOnOneRank) { train_steps(1); }
TEST(Allocation, NoneAfterTheFirstStepOnTwoRanks) { train_steps(2); }

}  // namespace
}  // namespace shardgrad
