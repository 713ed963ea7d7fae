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

// Every step is two micro-batches, with logits computed beside them as an evaluation would.
void train_steps(int tp, int intra_op_threads = 1, bool tied = true) {
  GPTConfig config;
  config.vocab_size = 61;
  config.max_position_embeddings = 16;
  config.n_layers = 3;
  config.n_heads = 4;
  config.d_model = 64;
  config.d_ff = 256;
  config.tie_embeddings = tied;
  run_ranks(tp, intra_op_threads, [&](Communicator& world) {
    GPTModel model(config, world);
    FlatParameters flat(model.named_parameters());
    initialize_parameters(model, 1);
    AdamWOptions options;
    options.max_gradient_norm = 1.0;
    AdamW optimizer(flat, options);
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
        backward(model.loss(half, half, context, 64.0));
      }
      optimizer.step(1e-3, gradient_norm(flat, world));
      {
        const NoGradGuard no_grad;
        EXPECT_EQ(model.forward(ids, {}, ids).logits.size(-1), 61);
      }
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
TEST(Allocation, NoneAfterTheFirstStepOnFourRanks) { train_steps(4); }
TEST(Allocation, NoneAfterTheFirstStepWithTwoThreadsARank) { train_steps(2, 2); }
TEST(Allocation, NoneAfterTheFirstStepWithAHeadOfItsOwn) { train_steps(2, 1, false); }

// What threads that have ended had cached, also those that failed, is not lost to the process.
TEST(Allocation, RanksLeaveTheirBlocksToWhoeverComesNext) {
  run_ranks(2, 1, [](Communicator& world) {
    const Tensor block = Tensor::empty({123457});
    world.barrier();  // both ranks hold one
  });
  const auto fail_after = [](Communicator& world) {
    const Tensor block = Tensor::empty({223457});
    world.barrier();
    require(world.rank() != 1, "allocation_test", "as asked for");
  };
  EXPECT_THROW(run_ranks(2, 1, fail_after), Error);
  const std::int64_t before = allocator_for({}).stats().system_allocations;
  for (std::int64_t count : {123457, 223457}) {  // on this thread, which had none of them
    const Tensor first = Tensor::empty({count}), second = Tensor::empty({count});
  }
  EXPECT_EQ(allocator_for({}).stats().system_allocations, before);
}

}  // namespace
}  // namespace shardgrad
