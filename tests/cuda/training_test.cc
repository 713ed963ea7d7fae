// A tiny GPT trained on a CUDA device against the same on the CPU, which the parity tests tie to
// one rank in float64.
#include "tests/cuda/cuda_testing.h"
#include "tests/model/allocation_run.h"
#include "tests/model/training_run.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using namespace training_run;

// A learning rate at which runs that differ in their roundings stay together.
constexpr double kGentle = 1e-3;

// Sanitizers slow kernels down up to a hundredfold, and need no curve: they find in few steps what
// they find at all.
#if defined(SIMT_TSAN) || defined(__SANITIZE_ADDRESS__)
constexpr int kCurveSteps = 2;
#else
constexpr int kCurveSteps = 20;
#endif

class CudaTraining : public ::testing::TestWithParam<std::tuple<int, bool>> {
 protected:
  static TrainingRun train_on(Device device, DType dtype, int steps, double learning_rate = 1e-2) {
    const auto [tp, tied] = GetParam();
    return train({tp, dtype, tied, steps, learning_rate, device});
  }
};

TEST_P(CudaTraining, Float32FollowsTheCpu) {
  const TrainingRun cpu = train_on(Device{}, DType::Float32, kCurveSteps),
                    gpu = train_on(kGpu, DType::Float32, kCurveSteps);
  for (const auto& [name, tensor] : cpu.initial) {
    EXPECT_TRUE(reference::bitwise_equal(gpu.initial.at(name), tensor)) << name;
  }
  EXPECT_LT(relative(gpu.losses[0], cpu.losses[0]), 1e-6);
  EXPECT_LT(relative(gpu.norms[0], cpu.norms[0]), 1e-5);
  expect_close(gpu.gradients, cpu.gradients, 1e-5);
  for (int step = 0; step < kCurveSteps; ++step) {
    EXPECT_LT(relative(gpu.losses[step], cpu.losses[step]), 1e-4) << "step " << step;
    EXPECT_LT(relative(gpu.norms[step], cpu.norms[step]), 1e-3) << "step " << step;
  }
}

TEST_P(CudaTraining, Float64EqualsTheCpu) {
  const TrainingRun cpu = train_on(Device{}, DType::Float64, 3),
                    gpu = train_on(kGpu, DType::Float64, 3);
  for (int step = 0; step < 3; ++step) {
    EXPECT_LT(relative(gpu.losses[step], cpu.losses[step]), 1e-9) << "step " << step;
    EXPECT_LT(relative(gpu.norms[step], cpu.norms[step]), 1e-9) << "step " << step;
  }
  expect_close(gpu.gradients, cpu.gradients, 1e-9);
  expect_close(gpu.parameters, cpu.parameters, 1e-9);
}

// bfloat16 has 8 significant bits: a rounding changes a number by up to 0.4 %. The devices' sums
// differ in their last bits, so some roundings fall to the other side.
TEST_P(CudaTraining, BFloat16FollowsTheCpu) {
  const TrainingRun cpu = train_on(Device{}, DType::BFloat16, kCurveSteps, kGentle),
                    gpu = train_on(kGpu, DType::BFloat16, kCurveSteps, kGentle);
  for (const auto& [name, tensor] : cpu.initial) {
    EXPECT_TRUE(reference::bitwise_equal(gpu.initial.at(name), tensor)) << name;
  }
  expect_close(gpu.gradients, cpu.gradients, 0.02);
  for (int step = 0; step < kCurveSteps; ++step) {
    EXPECT_LT(relative(gpu.losses[step], cpu.losses[step]), 2e-3) << "step " << step;
  }
}

TEST_P(CudaTraining, TheSameRunTwiceIsBitwiseTheSame) {
  const TrainingRun first = train_on(kGpu, DType::Float32, 2),
                    second = train_on(kGpu, DType::Float32, 2);
  EXPECT_EQ(first.losses, second.losses);
  for (const auto& [name, tensor] : first.parameters) {
    EXPECT_TRUE(reference::bitwise_equal(second.parameters.at(name), tensor)) << name;
  }
}

// Sequence parallelism, recomputed blocks, and gradients that cross beside the computation, all at
// once: what one rank of the CPU computes, and bit for bit what the device computes without the
// two that change no number.
TEST(CudaSequenceParallel, EqualsOneRankOfTheCpu) {
  TrainingOptions options;
  options.dtype = DType::Float64;
  options.steps = 2;
  const TrainingRun cpu = train(options);
  options.device = kGpu;
  options.tp = 2;
  options.sequence_parallel = true;
  const TrainingRun plain = train(options);
  options.recompute = Recompute::Block;
  options.overlap = true;
  const TrainingRun gpu = train(options);
  for (int step = 0; step < 2; ++step) {
    EXPECT_LT(relative(gpu.losses[step], cpu.losses[step]), 1e-9) << "step " << step;
    EXPECT_LT(relative(gpu.norms[step], cpu.norms[step]), 1e-9) << "step " << step;
  }
  expect_close(gpu.gradients, cpu.gradients, 1e-9);
  expect_close(gpu.parameters, cpu.parameters, 1e-9);
  EXPECT_EQ(gpu.losses, plain.losses);
  for (const auto& [name, tensor] : plain.parameters) {
    EXPECT_TRUE(reference::bitwise_equal(gpu.parameters.at(name), tensor)) << name;
  }
}

TEST(CudaAllocation, NoneAfterTheFirstStep) {
  allocator_for(kGpu).set_pass_through(false);
  for (DType dtype : {DType::Float32, DType::BFloat16}) {
    for (int tp : {1, 2}) allocation_run::train_steps({tp, 1, true, kGpu, dtype});
  }
  allocation_run::AllocationOptions everything{2, 1, true, kGpu};
  everything.sequence_parallel = everything.overlap = true;
  everything.recompute = Recompute::Block;
  allocation_run::train_steps(everything);
}

// tp, and whether the output head is the token embedding.
INSTANTIATE_TEST_SUITE_P(Layouts, CudaTraining,
                         ::testing::Values(std::make_tuple(1, true), std::make_tuple(2, false)));

}  // namespace
}  // namespace shardgrad
