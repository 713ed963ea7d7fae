// A training step after the first takes no memory from the system, and none piles up.
#include "tests/model/allocation_run.h"

namespace shardgrad {
namespace {

using allocation_run::train_steps;

TEST(Allocation, NoneAfterTheFirstStepOnOneRank) { train_steps({1}); }
TEST(Allocation, NoneAfterTheFirstStepOnTwoRanks) { train_steps({2}); }
TEST(Allocation, NoneAfterTheFirstStepOnFourRanks) { train_steps({4}); }
TEST(Allocation, NoneAfterTheFirstStepWithTwoThreadsARank) { train_steps({2, 2}); }
TEST(Allocation, NoneAfterTheFirstStepWithAHeadOfItsOwn) { train_steps({2, 1, false}); }

TEST(Allocation, NoneAfterTheFirstStepWithSequenceParallelism) {
  allocation_run::AllocationOptions options{2};
  options.sequence_parallel = true;
  train_steps(options);
  options.overlap = true;
  train_steps(options);
}

TEST(Allocation, NoneAfterTheFirstStepWithRecomputedBlocks) {
  allocation_run::AllocationOptions options{2};
  options.recompute = Recompute::Block;
  train_steps(options);
  options.sequence_parallel = options.overlap = true;
  train_steps(options);
}

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
