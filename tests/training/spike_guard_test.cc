// Steps beyond their limits are skipped by all ranks alike, as if they had not been.
#include "training/spike_guard.h"

#include "tests/training/layout_run.h"

namespace shardgrad {
namespace {

using namespace layout_run;

TEST(SpikeLimits, AreSoManyDeviationsAboveTheMean) {
  StepHistory history;
  for (int i = 0; i < 64; ++i) history.add(i % 2 == 0 ? 1.0 : 3.0, 5.0);
  const StepLimits limits = spike_limits(history, 6.0);
  EXPECT_DOUBLE_EQ(limits.loss, 2.0 + 6.0 * 1.0);
  EXPECT_DOUBLE_EQ(limits.gradient_norm, 5.0 + 6.0 * 0.05) << "a deviation is 1 % at least";
}

TEST(SpikeLimits, AreNoneWithoutAThresholdOrAHistory) {
  const double infinity = std::numeric_limits<double>::infinity();
  StepHistory history;
  for (int i = 0; i < 63; ++i) history.add(1.0, 1.0);
  EXPECT_EQ(spike_limits(history, 6.0).loss, infinity);
  EXPECT_EQ(spike_limits(history, 6.0).gradient_norm, infinity);
  history.add(1.0, 1.0);
  EXPECT_LT(spike_limits(history, 6.0).loss, infinity);
  EXPECT_EQ(spike_limits(history, 0.0).loss, infinity);
  EXPECT_EQ(spike_limits(history, 0.0).gradient_norm, infinity);
}

TEST(SpikeLimits, ForgetTheOldest) {
  StepHistory history;
  history.add(1e9, 1e9);
  for (std::int64_t i = 0; i < StepHistory::kWindow; ++i) history.add(2.0, 4.0);
  EXPECT_EQ(history.losses.size(), static_cast<std::size_t>(StepHistory::kWindow));
  EXPECT_DOUBLE_EQ(spike_limits(history, 5.0).loss, 2.0 * 1.05);
  EXPECT_DOUBLE_EQ(spike_limits(history, 5.0).gradient_norm, 4.0 * 1.05);
}

// Of five steps the one in the middle is beyond its limits.
struct GuardedRun {
  Tensors before, after, last;  // the parameters around that step, and at the end
  std::vector<StepNumbers> numbers;
  std::int64_t optimizer_steps = 0;
};

GuardedRun train_guarded(const RunSettings& settings, const StepLimits& limits) {
  constexpr int kGuarded = 2;
  GuardedRun run;
  const std::vector<Device> devices(settings.layout.world_size(), settings.device);
  run_ranks({devices, 1}, [&](Communicator& world) {
    GPTTraining training(small_config(true), settings.layout, world,
                         {settings.dtype, settings.device}, {{}, 7, 0.0});
    const auto keep = [&](Tensors& all) {
      Tensors whole = gather_parameters(training);
      if (world.rank() == 0) all = std::move(whole);
    };
    for (int step = 0; step < 5; ++step) {
      if (step == kGuarded) keep(run.before);
      const StepNumbers numbers = training.numbers(training.step(
          {step, 1e-2, kSequences, settings.micro_batches},
          [&](std::int64_t first, std::int64_t count) { return batch_of(step, first, count); },
          step == kGuarded ? limits : StepLimits()));
      if (step == kGuarded) keep(run.after);
      expect_no_drift(training);
      if (world.rank() == 0) run.numbers.push_back(numbers);
    }
    keep(run.last);
    if (world.rank() == 0) run.optimizer_steps = training.optimizer().steps();
  });
  return run;
}

std::vector<RunSettings> guarded_settings() {
  std::vector<RunSettings> all(4);
  all[1].layout.tensor_parallel = 2;
  all[2].layout.tensor_parallel = 2;
  all[2].layout.data_parallel = 2;
  all[2].layout.zero_stage = 1;
  all[2].layout.sequence_parallel = true;
  all[2].micro_batches = 2;
  all[3].dtype = DType::BFloat16;
  all[3].layout.data_parallel = 2;
  return all;
}

TEST(StepLimits, BeyondThemNothingChangesOnAnyRank) {
  StepLimits loss, norm;
  loss.loss = norm.gradient_norm = 1e-3;
  for (const RunSettings& settings : guarded_settings()) {
    for (const StepLimits& limits : {loss, norm}) {
      SCOPED_TRACE(settings.layout.to_string());
      const GuardedRun run = train_guarded(settings, limits);
      for (int step = 0; step < 5; ++step) {
        EXPECT_EQ(run.numbers[step].skipped, step == 2) << step;
        EXPECT_EQ(run.numbers[step].spiked, step == 2) << step;
        EXPECT_TRUE(std::isfinite(run.numbers[step].gradient_norm)) << "as it is, skipped or not";
      }
      EXPECT_EQ(run.optimizer_steps, 4);
      for (const auto& [name, tensor] : run.before) {
        EXPECT_TRUE(reference::bitwise_equal(run.after.at(name), tensor)) << name;
        EXPECT_FALSE(reference::bitwise_equal(run.last.at(name), tensor)) << name;
      }
    }
  }
}

TEST(StepLimits, WithinThemNothingIsDifferent) {
  for (const RunSettings& settings : guarded_settings()) {
    const GuardedRun free = train_guarded(settings, {});
    // Equal to the limit is not beyond it.
    const GuardedRun guarded =
        train_guarded(settings, {free.numbers[2].loss, free.numbers[2].gradient_norm});
    EXPECT_FALSE(guarded.numbers[2].skipped);
    for (const auto& [name, tensor] : free.last) {
      EXPECT_TRUE(reference::bitwise_equal(guarded.last.at(name), tensor)) << name;
    }
  }
}

}  // namespace
}  // namespace shardgrad
