#include "tensor/kernels/cross_entropy.h"

#include <cmath>

#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::random_ids;

constexpr std::int64_t kIgnore = -100;

class CudaCrossEntropyTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaCrossEntropyTest, all_dtypes(), dtype_name);

struct Case {
  std::int64_t rows, width;
  VocabularySlice slice;
  std::int64_t vocabulary;
};

// One column, padding columns, a slice in the middle, one without a real column, GPT-2's
// vocabulary, whose rows start at any multiple of the element.
const Case kCases[] = {
    {1, 1, {0, 1}, 1},      {7, 65, {0, 65}, 65},          {9, 40, {20, 33}, 100},
    {3, 16, {100, 0}, 100}, {4, 50257, {0, 50257}, 50257}, {3, 12568, {12568, 12565}, 50257},
    {600, 24, {0, 24}, 24}};

struct Phases {
  Phases(const Case& c, const Tensor& labels, const Tensor& logits,
         const TargetDistribution& distribution = {kIgnore})
      : max(Tensor::empty({c.rows}, accumulation_dtype(logits.dtype()), logits.device())),
        sum(Tensor::empty_like(max)),
        target(Tensor::empty_like(max)),
        loss(Tensor::empty({}, DType::Float64, logits.device())),
        scale(Tensor::empty_like(loss)),
        gradient(logits.clone()) {
    kernels::row_max(logits, c.slice, max);
    if (c.slice.columns == 0) max.fill(1.0);  // another slice's
    kernels::sum_exp_and_target(logits, labels, c.slice, distribution, max, sum, target);
    if (c.slice.columns == 0) sum.fill(2.0);
    kernels::negative_log_likelihood(sum, target, labels, kIgnore, 0.0, loss, scale);
    kernels::softmax_minus_target(gradient, labels, c.slice, distribution, max, sum, scale);
  }

  Tensor max, sum, target, loss, scale, gradient;
};

TEST_P(CudaCrossEntropyTest, AllPhases) {
  for (const Case& c : kCases) {
    const Input logits = random_input({c.rows, c.width}, dtype(), 1, 3.0);
    Tensor labels = random_ids({c.rows}, 0, static_cast<std::int32_t>(c.vocabulary), 2);
    if (c.rows > 2) labels.data<std::int32_t>()[1] = kIgnore;
    const Phases gpu(c, labels.to(kGpu), logits.device), cpu(c, labels, logits.host);
    const std::string where = std::to_string(c.rows) + " x " + std::to_string(c.width);
    EXPECT_TRUE(same_bits(gpu.max, cpu.max)) << where;
    EXPECT_LT(difference(gpu.sum, cpu.sum), accumulator_tolerance()) << where;
    EXPECT_TRUE(same_bits(gpu.target, cpu.target)) << where;
    EXPECT_NEAR(gpu.loss.item(), cpu.loss.item(), 1e-6 * std::abs(cpu.loss.item())) << where;
    EXPECT_EQ(gpu.scale.item(), cpu.scale.item()) << where;
    EXPECT_LT(difference(gpu.gradient, cpu.gradient), tolerance()) << where;
  }
}

TEST_P(CudaCrossEntropyTest, SmoothedLabels) {
  for (const Case& c : kCases) {
    const Input logits = random_input({c.rows, c.width}, dtype(), 1, 3.0);
    Tensor labels = random_ids({c.rows}, 0, static_cast<std::int32_t>(c.vocabulary), 2);
    if (c.rows > 2) labels.data<std::int32_t>()[1] = kIgnore;
    const TargetDistribution smoothed{kIgnore, 0.9, 0.1 / static_cast<double>(c.vocabulary)};
    const Phases gpu(c, labels.to(kGpu), logits.device, smoothed),
        cpu(c, labels, logits.host, smoothed);
    const std::string where = std::to_string(c.rows) + " x " + std::to_string(c.width);
    EXPECT_LT(difference(gpu.target, cpu.target), accumulator_tolerance()) << where;
    EXPECT_NEAR(gpu.loss.item(), cpu.loss.item(), 1e-6 * std::abs(cpu.loss.item())) << where;
    EXPECT_LT(difference(gpu.gradient, cpu.gradient), tolerance()) << where;
  }
}

TEST_P(CudaCrossEntropyTest, NoRowCounts) {
  const Case c{3, 8, {0, 8}, 8};
  const Input logits = random_input({3, 8}, dtype(), 1);
  const Tensor labels = Tensor::full({3}, kIgnore, DType::Int32, kGpu);
  const Phases gpu(c, labels, logits.device);
  EXPECT_EQ(gpu.loss.item(), 0.0);
  EXPECT_EQ(gpu.scale.item(), 0.0);
  EXPECT_TRUE(same_bits(gpu.gradient, Tensor::zeros({3, 8}, dtype())));
}

TEST_P(CudaCrossEntropyTest, AGivenNormalizerDividesInsteadOfTheCount) {
  const Case c{5, 8, {0, 8}, 8};
  const Input logits = random_input({5, 8}, dtype(), 1);
  const Tensor labels = random_ids({5}, 0, 8, 2).to(kGpu);
  const Phases gpu(c, labels, logits.device);
  Tensor loss = Tensor::empty({}, DType::Float64, kGpu), scale = Tensor::empty_like(loss);
  kernels::negative_log_likelihood(gpu.sum, gpu.target, labels, kIgnore, 20.0, loss, scale);
  EXPECT_EQ(scale.item(), 0.05);
  EXPECT_NEAR(loss.item(), gpu.loss.item() / 4.0, 1e-12);
}

TEST_P(CudaCrossEntropyTest, ANanInTheLogitsReachesTheLoss) {
  for (std::int64_t place : {0, 7, 64}) {
    const Case c{1, 65, {0, 65}, 65};
    Tensor values = Tensor::zeros({1, 65}, DType::Float64);
    values.data<double>()[place] = std::nan("");
    const Phases gpu(c, Tensor::zeros({1}, DType::Int32, kGpu), Input(values, dtype()).device);
    EXPECT_TRUE(std::isnan(gpu.loss.item())) << place;
  }
}

}  // namespace
}  // namespace shardgrad
