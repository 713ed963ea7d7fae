#include "tensor/kernels/adamw.h"

#include <cmath>

#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::random_tensor;

class CudaAdamWTest : public ::testing::TestWithParam<DType> {
 protected:
  static DType dtype() { return GetParam(); }
  static double tolerance() { return dtype() == DType::Float32 ? 1e-6 : 1e-14; }
};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaAdamWTest, ::testing::Values(DType::Float32, DType::Float64),
                         dtype_name);

struct State {
  State(std::int64_t count, DType dtype, const Device& device)
      : parameter(random_tensor({count}, dtype, 1).to(device)),
        first(Tensor::zeros({count}, dtype, device)),
        second(Tensor::zeros({count}, dtype, device)) {}

  void step(int number, DType dtype, const Tensor& norm, Tensor& rounded) {
    AdamWStep step;
    step.learning_rate = 0.01;
    step.weight_decay = 0.1;
    step.max_gradient_norm = 1.0;
    step.step = number;
    const Tensor gradient = random_tensor(parameter.shape(), dtype, 10 + number);
    kernels::adamw(parameter, gradient.to(parameter.device()), first, second,
                   norm.defined() ? norm.to(parameter.device()) : norm, step, rounded);
  }

  Tensor parameter, first, second;
};

TEST_P(CudaAdamWTest, StepsAsTheCpuDoes) {
  for (std::int64_t count : {1, 5, 4099}) {
    State gpu(count, dtype(), kGpu), cpu(count, dtype(), {});
    Tensor none;
    for (int number = 1; number <= 3; ++number) {
      // Not clipped, clipped, and no norm at all.
      const Tensor norm =
          number == 3 ? Tensor() : Tensor::full({}, number == 1 ? 0.5 : 8.0, DType::Float64);
      gpu.step(number, dtype(), norm, none);
      cpu.step(number, dtype(), norm, none);
    }
    EXPECT_LT(difference(gpu.parameter, cpu.parameter), tolerance()) << count;
    EXPECT_LT(difference(gpu.first, cpu.first), tolerance()) << count;
    EXPECT_LT(difference(gpu.second, cpu.second), tolerance()) << count;
  }
}

TEST_P(CudaAdamWTest, TheRoundedParametersAreTheMastersRounded) {
  for (std::int64_t count : {1, 5, 4099}) {
    State gpu(count, dtype(), kGpu), without(count, dtype(), kGpu);
    Tensor rounded = device_output({count}, DType::BFloat16), none;
    gpu.step(1, dtype(), Tensor(), rounded);
    without.step(1, dtype(), Tensor(), none);
    EXPECT_TRUE(same_bits(gpu.parameter, without.parameter.to(Device{}))) << count;
    EXPECT_TRUE(same_bits(rounded, gpu.parameter.to(Device{}))) << count;
  }
}

TEST_P(CudaAdamWTest, ANormThatIsNotFiniteChangesNothing) {
  for (double norm : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    State gpu(100, dtype(), kGpu);
    const Tensor before = gpu.parameter.clone();
    Tensor none;
    gpu.step(1, dtype(), Tensor::full({}, norm, DType::Float64), none);
    EXPECT_TRUE(same_bits(gpu.parameter, before.to(Device{})));
    EXPECT_TRUE(same_bits(gpu.first, Tensor::zeros({100}, dtype())));
  }
}

}  // namespace
}  // namespace shardgrad
