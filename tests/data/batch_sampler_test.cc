#include "data/batch_sampler.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

/// Token i is i, so that the first token of a window tells where the window starts.
TokenDataset counting(std::int64_t size) {
  std::vector<std::uint16_t> tokens(static_cast<std::size_t>(size));
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
  return TokenDataset(std::move(tokens));
}

std::vector<std::int32_t> starts(const Batch& batch) {
  return batch.input_ids.slice(1, 0, 1).to_vector<std::int32_t>();
}

std::vector<std::int32_t> training_ids(std::uint64_t seed, std::int64_t step) {
  return BatchSampler(counting(5000), 4, seed)
      .training_batch(step, 0, 8)
      .input_ids.to_vector<std::int32_t>();
}

/// Input ids are consecutive tokens, targets the ones after them.
void expect_windows(const Batch& batch, const Shape& shape) {
  ASSERT_EQ(batch.input_ids.shape(), shape);
  ASSERT_EQ(batch.targets.shape(), shape);
  ASSERT_EQ(batch.input_ids.dtype(), DType::Int32);
  ASSERT_EQ(batch.targets.dtype(), DType::Int32);
  const auto* inputs = batch.input_ids.data<std::int32_t>();
  const auto* targets = batch.targets.data<std::int32_t>();
  for (std::int64_t row = 0; row < shape[0]; ++row) {
    for (std::int64_t column = 0; column < shape[1]; ++column) {
      const std::int64_t i = row * shape[1] + column;
      EXPECT_EQ(inputs[i], inputs[row * shape[1]] + column);
      EXPECT_EQ(targets[i], inputs[i] + 1);
    }
  }
}

TEST(TrainingBatch, TargetsAreTheNextTokens) {
  const BatchSampler sampler(counting(1000), 16, 1);
  expect_windows(sampler.training_batch(0, 0, 5), {5, 16});
  EXPECT_EQ(sampler.seq_len(), 16);
}

TEST(TrainingBatch, IsAFunctionOfSeedAndStep) {
  EXPECT_EQ(training_ids(1, 3), training_ids(1, 3));
  std::set<std::vector<std::int32_t>> seen;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    for (std::int64_t step = 0; step < 5; ++step) seen.insert(training_ids(seed, step));
  }
  EXPECT_EQ(seen.size(), 25u);
}

// Computed by another implementation of the generator (Python's integers). If this fails, every run
// that somebody wants to repeat sees other data.
TEST(TrainingBatch, KnownStarts) {
  const BatchSampler sampler(counting(50000), 4, 1);
  EXPECT_EQ(starts(sampler.training_batch(0, 0, 4)),
            (std::vector<std::int32_t>{3787, 23587, 38612, 38846}));
  EXPECT_EQ(starts(sampler.training_batch(3, 0, 4)),
            (std::vector<std::int32_t>{9687, 49124, 6438, 8010}));
}

TEST(TrainingBatch, SlicesAreTheGlobalBatch) {
  const BatchSampler sampler(counting(5000), 8, 42);
  const std::vector<std::int32_t> inputs =
      sampler.training_batch(7, 0, 12).input_ids.to_vector<std::int32_t>();
  const std::vector<std::int32_t> targets =
      sampler.training_batch(7, 0, 12).targets.to_vector<std::int32_t>();
  for (const std::int64_t slice : {1, 2, 3, 4, 6, 12}) {
    std::vector<std::int32_t> joined_inputs, joined_targets;
    for (std::int64_t first = 0; first < 12; first += slice) {
      const Batch batch = sampler.training_batch(7, first, slice);
      for (std::int32_t id : batch.input_ids.to_vector<std::int32_t>()) joined_inputs.push_back(id);
      for (std::int32_t id : batch.targets.to_vector<std::int32_t>()) joined_targets.push_back(id);
    }
    EXPECT_EQ(joined_inputs, inputs) << slice;
    EXPECT_EQ(joined_targets, targets) << slice;
  }
}

TEST(TrainingBatch, StartsAreUniformAndReachBothEnds) {
  constexpr int kStarts = 20;
  constexpr int kSteps = 100, kCount = 400;
  const BatchSampler sampler(counting(kStarts + 8), 8, 3);
  std::vector<int> hits(kStarts, 0);
  for (int step = 0; step < kSteps; ++step) {
    for (std::int32_t start : starts(sampler.training_batch(step, 0, kCount))) {
      ASSERT_GE(start, 0);
      ASSERT_LT(start, kStarts);
      ++hits[static_cast<std::size_t>(start)];
    }
  }
  constexpr double kExpected = double{kSteps} * kCount / kStarts;
  double chi_squared = 0.0;
  for (int count : hits) chi_squared += (count - kExpected) * (count - kExpected) / kExpected;
  EXPECT_LT(chi_squared, 43.8);  // 19 degrees of freedom: exceeded once in 1000 seeds
}

TEST(TrainingBatch, ADatasetOfOneWindowGivesThatWindow) {
  const BatchSampler sampler(counting(9), 8, 3);
  expect_windows(sampler.training_batch(0, 0, 3), {3, 8});
  EXPECT_EQ(starts(sampler.training_batch(0, 0, 3)), (std::vector<std::int32_t>{0, 0, 0}));
}

TEST(TrainingBatch, StaysInsideAPartOfADataset) {
  const BatchSampler sampler(counting(100).slice(40, 10), 8, 3);
  std::set<std::int32_t> seen;
  for (std::int32_t start : starts(sampler.training_batch(0, 0, 100))) seen.insert(start);
  EXPECT_EQ(seen, (std::set<std::int32_t>{40, 41}));
}

TEST(TrainingBatch, SaysWhichArgumentIsWrong) {
  const BatchSampler sampler(counting(100), 8, 3);
  EXPECT_EQ(error_of([&] { sampler.training_batch(-1, 0, 1); }),
            "[BatchSampler::training_batch] step -1 is negative; expected 0 or more");
  EXPECT_EQ(error_of([&] { sampler.training_batch(0, -2, 1); }),
            "[BatchSampler::training_batch] first_sequence -2 and count 1; expected "
            "first_sequence >= 0 and count >= 1");
  EXPECT_EQ(error_of([&] { sampler.training_batch(0, 0, 0); }),
            "[BatchSampler::training_batch] first_sequence 0 and count 0; expected "
            "first_sequence >= 0 and count >= 1");
}

TEST(EvaluationBatch, WindowsAreSpreadFromTheFirstTokenToTheLast) {
  const BatchSampler sampler(counting(109), 8, 3);  // 101 possible starts
  const Batch batch = sampler.evaluation_batch(0, 5, 5);
  expect_windows(batch, {5, 8});
  EXPECT_EQ(starts(batch), (std::vector<std::int32_t>{0, 25, 50, 75, 100}));
  EXPECT_EQ(starts(sampler.evaluation_batch(0, 1, 1)), (std::vector<std::int32_t>{0}));
  EXPECT_EQ(starts(sampler.evaluation_batch(1, 1, 2)), (std::vector<std::int32_t>{100}));
}

TEST(EvaluationBatch, SlicesAreTheWholeAndTheSeedDoesNotMatter) {
  const BatchSampler sampler(counting(1000), 8, 3);
  const BatchSampler other(counting(1000), 8, 4);
  const std::vector<std::int32_t> whole = starts(sampler.evaluation_batch(0, 6, 6));
  EXPECT_EQ(starts(other.evaluation_batch(0, 6, 6)), whole);
  std::vector<std::int32_t> joined;
  for (std::int64_t first = 0; first < 6; first += 2) {
    for (std::int32_t start : starts(sampler.evaluation_batch(first, 2, 6))) {
      joined.push_back(start);
    }
  }
  EXPECT_EQ(joined, whole);
}

TEST(EvaluationBatch, MoreWindowsThanStartsRepeat) {
  const BatchSampler sampler(counting(10), 8, 3);  // 2 possible starts
  EXPECT_EQ(starts(sampler.evaluation_batch(0, 4, 4)), (std::vector<std::int32_t>{0, 0, 0, 1}));
}

TEST(EvaluationBatch, SaysWhatDoesNotLieWithinTotal) {
  const BatchSampler sampler(counting(100), 8, 3);
  EXPECT_EQ(error_of([&] { sampler.evaluation_batch(3, 2, 4); }),
            "[BatchSampler::evaluation_batch] first_sequence 3 and count 2 do not lie within total "
            "4; expected 0 <= first_sequence, 1 <= count, first_sequence + count <= total");
  EXPECT_NE(error_of([&] { sampler.evaluation_batch(-1, 2, 4); }), "");
  EXPECT_NE(error_of([&] { sampler.evaluation_batch(0, 0, 4); }), "");
  EXPECT_NE(error_of([&] { sampler.evaluation_batch(0, 1, 0); }), "");
}

TEST(BatchSampler, SaysThatTheDatasetIsTooShort) {
  EXPECT_EQ(error_of([] { BatchSampler(counting(8), 8, 3); }),
            "[BatchSampler] 8 tokens are too few for a window of seq_len + 1 = 9; choose seq_len "
            "<= 7 or give it more text");
  EXPECT_EQ(error_of([] { BatchSampler(counting(0), 8, 3); }),
            "[BatchSampler] 0 tokens are too few for a window of seq_len + 1 = 9; give it more "
            "text");
  EXPECT_EQ(error_of([] { BatchSampler(counting(8), 0, 3); }),
            "[BatchSampler] seq_len 0 is out of range; expected 1 or more");
}

}  // namespace
}  // namespace shardgrad
