// The promise of the project, for every layout: what one rank computes, dropout, label smoothing
// and unequal padding on.
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "tests/training/layout_run.h"

namespace shardgrad {
namespace {

using namespace layout_run;

struct TensorParallel {
  int size;
  bool sequence_parallel;
};
struct DataParallelism {
  int size;
  int zero_stage;
};
using Layout = std::tuple<TensorParallel, DataParallelism, Recompute, bool, int>;

RunSettings settings_of(const Layout& layout, DType dtype, int steps) {
  const auto& [tensor_parallel, data_parallel, recompute, tied, micro_batches] = layout;
  RunSettings settings;
  settings.layout.tensor_parallel = tensor_parallel.size;
  settings.layout.sequence_parallel = tensor_parallel.sequence_parallel;
  settings.layout.data_parallel = data_parallel.size;
  settings.layout.zero_stage = data_parallel.zero_stage;
  settings.layout.recompute = recompute;
  settings.layout.bucket_bytes = 4096;  // several buckets
  settings.tied = tied;
  settings.micro_batches = micro_batches;
  settings.dtype = dtype;
  settings.steps = steps;
  return settings;
}

// One rank, one micro-batch, nothing recomputed.
const LayoutRun& one_rank(bool tied, DType dtype, int steps) {
  static std::map<std::tuple<bool, DType, int>, LayoutRun> runs;
  LayoutRun& run = runs[{tied, dtype, steps}];
  if (run.losses.empty()) {
    run = train(settings_of({{1, false}, {1, 0}, Recompute::None, tied, 1}, dtype, steps));
  }
  return run;
}

class LayoutsTest : public ::testing::TestWithParam<Layout> {};

TEST_P(LayoutsTest, EqualOneRank) {
  const bool tied = std::get<3>(GetParam());
  const LayoutRun& one = one_rank(tied, DType::Float64, 5);
  const LayoutRun many = train(settings_of(GetParam(), DType::Float64, 5));
  for (const auto& [name, tensor] : one.initial) {
    EXPECT_TRUE(reference::bitwise_equal(many.initial.at(name), tensor)) << name;
  }
  ASSERT_EQ(many.losses.size(), 5u);
  for (int step = 0; step < 5; ++step) {
    EXPECT_LT(relative(many.losses[step], one.losses[step]), 1e-9) << "step " << step;
    EXPECT_LT(relative(many.norms[step], one.norms[step]), 1e-9) << "step " << step;
    EXPECT_GT(one.norms[step], 0.5) << "the gradients of step " << step << " are not clipped";
  }
  expect_close(many.gradients, one.gradients, 1e-9);
  expect_close(many.parameters, one.parameters, 1e-9);

  const LayoutRun& one32 = one_rank(tied, DType::Float32, 1);
  const LayoutRun many32 = train(settings_of(GetParam(), DType::Float32, 1));
  EXPECT_LT(relative(many32.losses[0], one32.losses[0]), 1e-5);
  EXPECT_LT(relative(many32.norms[0], one32.norms[0]), 1e-5);
  expect_close(many32.gradients, one32.gradients, 1e-5);
}

std::string name_of_layout(const ::testing::TestParamInfo<Layout>& info) {
  const auto& [tensor_parallel, data_parallel, recompute, tied, micro_batches] = info.param;
  return "tp" + std::to_string(tensor_parallel.size) +
         (tensor_parallel.sequence_parallel ? "_sequence_parallel" : "") + "_dp" +
         std::to_string(data_parallel.size) + (data_parallel.zero_stage > 0 ? "_zero" : "") +
         (recompute == Recompute::Block ? "_recompute" : "") + (tied ? "_tied" : "_untied") +
         "_accumulate" + std::to_string(micro_batches);
}

INSTANTIATE_TEST_SUITE_P(
    All, LayoutsTest,
    ::testing::Combine(::testing::Values(TensorParallel{1, false}, TensorParallel{2, false},
                                         TensorParallel{2, true}, TensorParallel{4, false},
                                         TensorParallel{4, true}),
                       ::testing::Values(DataParallelism{1, 0}, DataParallelism{2, 0},
                                         DataParallelism{2, 1}),
                       ::testing::Values(Recompute::None, Recompute::Block), ::testing::Bool(),
                       ::testing::Values(1, 4)),
    name_of_layout);

// All that communicates beside the computation, and all that computes twice.
TEST(TrainingLayouts, OverlapRecomputeAndBucketSizesChangeNoBit) {
  RunSettings settings =
      settings_of({{2, true}, {2, 1}, Recompute::None, true, 2}, DType::Float32, 3);
  settings.layout.overlap = false;
  settings.layout.bucket_bytes = 1 << 30;
  const LayoutRun expected = train(settings);
  settings.layout.recompute = Recompute::Block;
  expect_same_bits(train(settings), expected);
  settings.layout.overlap = true;
  expect_same_bits(train(settings), expected);
  settings.layout.bucket_bytes = 1000;
  // ZeRO shares each bucket out over the copies, so their parts of the norm are other sums of the
  // same squares: some tens of roundings in float64 apart.
  LayoutRun shared = train(settings);
  for (std::size_t step = 0; step < expected.norms.size(); ++step) {
    EXPECT_NEAR(shared.norms[step] / expected.norms[step], 1.0, 1e-14);
  }
  shared.norms = expected.norms;
  expect_same_bits(shared, expected);
  settings.layout.zero_stage = 0;
  const LayoutRun small_buckets = train(settings);
  settings.layout.bucket_bytes = 1 << 30;
  expect_same_bits(small_buckets, train(settings));
}

TEST(TrainingLayouts, ALayoutThatDoesNotFitTheWorldIsAnError) {
  RunSettings settings;
  settings.layout.tensor_parallel = 2;
  settings.layout.data_parallel = 3;
  std::string message;
  try {
    LayoutRun run;
    run_ranks(4, 1, [&](Communicator& world) { train_rank(settings, world, run); });
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("tp 2 x dp 3 are 6 ranks, but the world has 4; choose dp 2"),
            std::string::npos)
      << message;
}

TEST(TrainingLayouts, WhatHasNoMeaningIsAnErrorThatSaysWhatHas) {
  const auto error = [](const TrainingLayout& layout, std::int64_t sequences, std::int64_t tokens,
                        std::int64_t micro_batches, std::int64_t n_heads = 4) {
    GPTConfig config = small_config(true);
    config.n_heads = n_heads;
    config.d_model = n_heads * 4;
    try {
      layout.validate(config, sequences, tokens, micro_batches);
    } catch (const Error& caught) {
      return std::string(caught.what());
    }
    return std::string();
  };
  TrainingLayout layout;
  EXPECT_EQ(error(layout, 8, 12, 4), "");
  layout.sequence_parallel = true;
  EXPECT_NE(error(layout, 8, 12, 1).find("choose --tp=2 or more"), std::string::npos);
  layout.tensor_parallel = 4;
  EXPECT_EQ(error(layout, 8, 12, 1), "");
  EXPECT_NE(error(layout, 3, 7, 1).find("3 x 7 = 21 tokens"), std::string::npos);
  EXPECT_NE(error(layout, 8, 12, 1, 25).find("n_heads 25 is not divisible by tp=4"),
            std::string::npos);
  layout = {};
  layout.zero_stage = 1;
  EXPECT_NE(error(layout, 8, 12, 1).find("--dp=2 or more"), std::string::npos);
  layout.zero_stage = 2;
  EXPECT_NE(error(layout, 8, 12, 1).find("choose 0 or 1"), std::string::npos);
  layout = {};
  layout.data_parallel = 2;
  EXPECT_NE(error(layout, 6, 12, 2).find("choose a multiple of 4"), std::string::npos);
}

}  // namespace
}  // namespace shardgrad
