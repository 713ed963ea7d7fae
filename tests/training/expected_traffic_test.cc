// What the ranks really communicate in a step against what the papers say that they have to.
#include "training/expected_traffic.h"

#include <gtest/gtest.h>

#include "tests/training/layout_run.h"

namespace shardgrad {
namespace {

using namespace layout_run;

struct Traffic {
  CommunicationStats tensor_parallel, data_parallel;
};

// Of rank 0 in one step.
Traffic measured(const TrainingLayout& layout, std::int64_t micro_batches) {
  Traffic traffic;
  run_ranks(layout.world_size(), 1, [&](Communicator& world) {
    GPTTraining training(small_config(true), layout, world, {DType::Float64}, {});
    const auto train = [&](int step) {
      training.step(
          {step, 1e-3, kSequences, micro_batches},
          [&](std::int64_t first, std::int64_t count) { return batch_of(step, first, count); });
    };
    train(0);
    const Traffic before{training.tensor_parallel_stats(), training.data_parallel_stats()};
    train(1);
    const Traffic after{training.tensor_parallel_stats(), training.data_parallel_stats()};
    if (world.rank() != 0) return;
    traffic = {after.tensor_parallel - before.tensor_parallel,
               after.data_parallel - before.data_parallel};
  });
  return traffic;
}

// Bytes at most that the flat buffers have more than the parameters: each of the 28 parameters is
// followed by less than a cache line, either region by less than 64 float64 for each of two ranks.
constexpr std::int64_t kPadding = 28 * 64 + 2 * 2 * 64 * 8;

void expect_equal(const CollectiveCount& found, const CollectiveCount& expected,
                  const std::string& what, std::int64_t padding) {
  EXPECT_EQ(found.calls, expected.calls) << what;
  EXPECT_GE(found.bytes, expected.bytes) << what;
  EXPECT_LE(found.bytes, expected.bytes + (expected.bytes > 1000 ? padding : 0)) << what;
}

void expect_equal(const CommunicationStats& found, const CommunicationStats& expected,
                  const std::string& where, std::int64_t padding) {
  expect_equal(found.all_reduce, expected.all_reduce, where + ": all_reduce", padding);
  expect_equal(found.all_gather, expected.all_gather, where + ": all_gather", padding);
  expect_equal(found.reduce_scatter, expected.reduce_scatter, where + ": reduce_scatter", padding);
  EXPECT_EQ(found.broadcast.calls, 0);
  EXPECT_EQ(found.send_receive.calls, 0);
}

TEST(ExpectedTraffic, IsWhatTheRanksCommunicate) {
  for (int tp : {1, 2, 4}) {
    for (bool sequence_parallel : {false, true}) {
      if (sequence_parallel && tp == 1) continue;
      for (int dp : {1, 2}) {
        for (Recompute recompute : {Recompute::None, Recompute::Block}) {
          for (std::int64_t micro_batches : {1, 2}) {
            TrainingLayout layout;
            layout.tensor_parallel = tp;
            layout.data_parallel = dp;
            layout.sequence_parallel = sequence_parallel;
            layout.recompute = recompute;
            const Traffic found = measured(layout, micro_batches);
            const ExpectedTraffic expected = expected_traffic(
                small_config(true), layout, {kSequences, kTokens, micro_batches}, DType::Float64);
            const std::string where =
                layout.to_string() + " x " + std::to_string(micro_batches) + " micro-batches";
            expect_equal(found.tensor_parallel, expected.tensor_parallel, where + ", tp", 0);
            expect_equal(found.data_parallel, expected.data_parallel, where + ", dp", kPadding);
          }
        }
      }
    }
  }
}

TEST(ExpectedTraffic, OfAShardedOptimizer) {
  TrainingLayout layout;
  layout.data_parallel = 2;
  layout.zero_stage = 1;
  const Traffic found = measured(layout, 1);
  const ExpectedTraffic expected =
      expected_traffic(small_config(true), layout, {kSequences, kTokens, 1}, DType::Float64);
  expect_equal(found.data_parallel, expected.data_parallel, "dp", kPadding);
}

}  // namespace
}  // namespace shardgrad
