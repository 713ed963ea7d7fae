#include "data/batch_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "data/permutation.h"
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

std::vector<std::int32_t> training_ids(std::uint64_t seed, std::int64_t first_sequence) {
  return BatchSampler(counting(5000), 4, seed)
      .training_batch(first_sequence, 8)
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
  expect_windows(sampler.training_batch(0, 5), {5, 16});
  EXPECT_EQ(sampler.seq_len(), 16);
}

TEST(TrainingBatch, IsAFunctionOfSeedAndSequence) {
  EXPECT_EQ(training_ids(1, 24), training_ids(1, 24));
  std::set<std::vector<std::int32_t>> seen;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    for (std::int64_t step = 0; step < 5; ++step) seen.insert(training_ids(seed, 8 * step));
  }
  EXPECT_EQ(seen.size(), 25u);
}

// Computed by another implementation (Python's integers). If this fails, every run that somebody
// wants to repeat or to resume sees other data.
TEST(TrainingBatch, KnownStarts) {
  const BatchSampler sampler(counting(50000), 12, 1);
  EXPECT_EQ(sampler.epoch_sequences(), 4166);
  EXPECT_EQ(starts(sampler.training_batch(0, 4)),
            (std::vector<std::int32_t>{26448, 4428, 2748, 27348}));
  EXPECT_EQ(starts(sampler.training_batch(5 * 4166, 4)),
            (std::vector<std::int32_t>{8376, 6288, 13176, 3108}));
}

TEST(TrainingBatch, SlicesAreTheGlobalBatch) {
  const BatchSampler sampler(counting(5000), 8, 42);
  const std::vector<std::int32_t> inputs =
      sampler.training_batch(84, 12).input_ids.to_vector<std::int32_t>();
  const std::vector<std::int32_t> targets =
      sampler.training_batch(84, 12).targets.to_vector<std::int32_t>();
  for (const std::int64_t slice : {1, 2, 3, 4, 6, 12}) {
    std::vector<std::int32_t> joined_inputs, joined_targets;
    for (std::int64_t first = 0; first < 12; first += slice) {
      const Batch batch = sampler.training_batch(84 + first, slice);
      for (std::int32_t id : batch.input_ids.to_vector<std::int32_t>()) joined_inputs.push_back(id);
      for (std::int32_t id : batch.targets.to_vector<std::int32_t>()) joined_targets.push_back(id);
    }
    EXPECT_EQ(joined_inputs, inputs) << slice;
    EXPECT_EQ(joined_targets, targets) << slice;
  }
}

/// How often each token is a target in one epoch.
std::vector<int> target_counts(const BatchSampler& sampler, std::int64_t tokens,
                               std::int64_t epoch) {
  std::vector<int> counts(static_cast<std::size_t>(tokens), 0);
  const std::int64_t size = sampler.epoch_sequences();
  const Batch batch = sampler.training_batch(epoch * size, size);
  for (std::int32_t id : batch.targets.to_vector<std::int32_t>()) {
    ++counts[static_cast<std::size_t>(id)];
  }
  return counts;
}

TEST(Epoch, EveryTokenIsATargetOnce) {
  const BatchSampler sampler(counting(1001), 8, 5);  // 125 windows and nothing left
  ASSERT_EQ(sampler.epoch_sequences(), 125);
  std::vector<int> once(1001, 1);
  once[0] = 0;  // nothing stands before it
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    EXPECT_EQ(target_counts(sampler, 1001, epoch), once) << epoch;
  }
}

// Of 1007 tokens, six fill no window; each is left out in some epochs, and seen in others.
TEST(Epoch, WhatIsLeftOutChanges) {
  const BatchSampler sampler(counting(1007), 8, 5);
  std::vector<int> seen(1007, 0);
  for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
    const std::vector<int> counts = target_counts(sampler, 1007, epoch);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), 1000);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      EXPECT_LE(counts[i], 1);
      seen[i] += counts[i];
    }
  }
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_GT(seen[i], 0) << i;
  EXPECT_LT(seen[1], 40);
  EXPECT_LT(seen[1006], 40);
}

TEST(Epoch, DataParallelSlicesCoverIt) {
  constexpr std::int64_t kBatch = 12, kRanks = 4, kSteps = 10;  // 120 sequences: one epoch
  const BatchSampler sampler(counting(120 * 4 + 1), 4, 9);
  ASSERT_EQ(sampler.epoch_sequences(), kSteps * kBatch);
  std::vector<std::int32_t> drawn;
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    for (std::int64_t step = 0; step < kSteps; ++step) {
      const std::int64_t first = step * kBatch + rank * kBatch / kRanks;
      for (std::int32_t start : starts(sampler.training_batch(first, kBatch / kRanks))) {
        drawn.push_back(start);
      }
    }
  }
  std::sort(drawn.begin(), drawn.end());
  std::vector<std::int32_t> expected;
  for (std::int32_t i = 0; i < 120; ++i) expected.push_back(4 * i);
  EXPECT_EQ(drawn, expected);
}

TEST(Epoch, TheOrderIsShuffledAndDiffersFromEpochToEpoch) {
  const BatchSampler sampler(counting(4001), 4, 9);
  const std::int64_t size = sampler.epoch_sequences();
  const std::vector<std::int32_t> first = starts(sampler.training_batch(0, size));
  const std::vector<std::int32_t> second = starts(sampler.training_batch(size, size));
  int same = 0, neighbours = 0;
  for (std::size_t i = 1; i < first.size(); ++i) {
    same += first[i] == second[i];
    neighbours += first[i] == first[i - 1] + 4;
  }
  EXPECT_LT(same, 10) << "one is expected by chance";
  EXPECT_LT(neighbours, 10);
}

// The last sequence of an epoch and the first of the next are of one batch.
TEST(Epoch, ABatchMayReachIntoTheNext) {
  const BatchSampler sampler(counting(25), 8, 3);  // three windows
  std::vector<std::int32_t> drawn = starts(sampler.training_batch(0, 6));
  std::sort(drawn.begin(), drawn.end());
  EXPECT_EQ(drawn, (std::vector<std::int32_t>{0, 0, 8, 8, 16, 16}));
  EXPECT_EQ(starts(sampler.training_batch(2, 2)),
            (std::vector<std::int32_t>{starts(sampler.training_batch(2, 1))[0],
                                       starts(sampler.training_batch(3, 1))[0]}));
}

TEST(TrainingBatch, ADatasetOfOneWindowGivesThatWindow) {
  const BatchSampler sampler(counting(9), 8, 3);
  expect_windows(sampler.training_batch(0, 3), {3, 8});
  EXPECT_EQ(starts(sampler.training_batch(0, 3)), (std::vector<std::int32_t>{0, 0, 0}));
}

TEST(TrainingBatch, StaysInsideAPartOfADataset) {
  const BatchSampler sampler(counting(100).slice(40, 10), 8, 3);
  std::set<std::int32_t> seen;
  for (std::int32_t start : starts(sampler.training_batch(0, 100))) seen.insert(start);
  EXPECT_EQ(seen, (std::set<std::int32_t>{40, 41}));
}

TEST(TrainingBatch, SaysWhichArgumentIsWrong) {
  const BatchSampler sampler(counting(100), 8, 3);
  EXPECT_EQ(error_of([&] { sampler.training_batch(-2, 1); }),
            "[BatchSampler::training_batch] first_sequence -2 and count 1; expected "
            "first_sequence >= 0 and count >= 1");
  EXPECT_EQ(error_of([&] { sampler.training_batch(0, 0); }),
            "[BatchSampler::training_batch] first_sequence 0 and count 0; expected "
            "first_sequence >= 0 and count >= 1");
}

// Every size that a small dataset can have, and each of its positions.
TEST(Permutation, IsOne) {
  for (std::int64_t size = 1; size < 200; ++size) {
    const Permutation permutation(size, {7, 11});
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < size; ++i) seen.insert(permutation(i));
    ASSERT_EQ(static_cast<std::int64_t>(seen.size()), size);
    ASSERT_EQ(*seen.begin(), 0);
    ASSERT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(Permutation, AnyElementComesFirst) {
  constexpr std::int64_t kSize = 20, kKeys = 4000;
  std::vector<int> hits(kSize, 0);
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    ++hits[static_cast<std::size_t>(Permutation(kSize, {3, key})(0))];
  }
  constexpr double kExpected = double{kKeys} / kSize;
  double chi_squared = 0.0;
  for (int count : hits) chi_squared += (count - kExpected) * (count - kExpected) / kExpected;
  EXPECT_LT(chi_squared, 43.8);  // 19 degrees of freedom: exceeded once in 1000 sets of keys
}

TEST(Permutation, TakesTheLargestSizes) {
  constexpr std::int64_t kLargest = 9223372036854775807;
  const Permutation permutation(kLargest, {1, 2});
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < 100; ++i) {
    seen.insert(permutation(i));
    EXPECT_GE(permutation(kLargest - 1 - i), 0);
  }
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(error_of([] {
              Permutation(0, {1, 2});
            }),
            "[Permutation] size 0 is out of range; expected 1 or more");
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
