#include "tensor/kernels/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using ::testing::HasSubstr;

class RandomTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, RandomTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

// How the numbers are distributed, which rounding to bfloat16 coarsens.
class RandomDistributionTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, RandomDistributionTest, kernel_testing::accumulation_dtypes(),
                         kernel_testing::dtype_name);

Tensor normal(std::int64_t count, DType dtype, std::int64_t first, double mean = 0.0,
              double standard_deviation = 1.0) {
  Tensor x = Tensor::empty({count}, dtype);
  kernels::fill_normal(x, {5, 6}, first, mean, standard_deviation);
  return x;
}

Tensor uniform(std::int64_t count, DType dtype, std::int64_t first, double low = 0.0,
               double high = 1.0) {
  Tensor x = Tensor::empty({count}, dtype);
  kernels::fill_uniform(x, {5, 6}, first, low, high);
  return x;
}

// sup |empirical distribution - distribution|, over sorted samples.
template <class Distribution>
double kolmogorov_smirnov(std::vector<double> samples, const Distribution& distribution) {
  std::sort(samples.begin(), samples.end());
  const double count = static_cast<double>(samples.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double expected = distribution(samples[i]);
    worst = std::max({worst, std::fabs(expected - static_cast<double>(i) / count),
                      std::fabs(static_cast<double>(i + 1) / count - expected)});
  }
  return worst;
}

TEST_P(RandomTest, NormalFollowsItsDocumentedScheme) {
  const std::int64_t first = 7;
  const double pi = std::acos(-1.0);
  const std::vector<double> values =
      normal(9, dtype(), first, 0.5, 2.0).to(DType::Float64).to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t element = static_cast<std::uint64_t>(first) + i;
    const PhiloxWords block = philox4x32({5, 6}, element / 2);
    const double w0 = block.word[2 * (element % 2)];
    const double w1 = block.word[2 * (element % 2) + 1];
    const double radius = std::sqrt(-2.0 * std::log((w0 + 0.5) / 4294967296.0));
    EXPECT_NEAR(values[i], 0.5 + 2.0 * radius * std::cos(2.0 * pi * w1 / 4294967296.0),
                10.0 * tolerance());
  }
}

TEST_P(RandomTest, UniformFollowsItsDocumentedScheme) {
  const std::vector<double> values =
      uniform(9, dtype(), 6, -1.0, 3.0).to(DType::Float64).to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double expected = -1.0 + 4.0 * philox_word({5, 6}, 6 + i) / 4294967296.0;
    EXPECT_NEAR(values[i], expected, tolerance() * std::max(1.0, std::fabs(expected)));
  }
}

TEST_P(RandomTest, AShardDrawsItsSliceOfTheWhole) {
  const std::int64_t global_first = 5;
  const Tensor whole_normal = normal(20001, dtype(), global_first, 0.0, 0.02);
  const Tensor whole_uniform = uniform(20001, dtype(), global_first, -0.1, 0.1);
  for (std::int64_t first : {0, 1, 2, 3, 255, 10000, 19000}) {
    for (std::int64_t length : {1, 3, 64, 259, 1001}) {
      ASSERT_TRUE(bitwise_equal(normal(length, dtype(), global_first + first, 0.0, 0.02),
                                whole_normal.slice(0, first, length)));
      ASSERT_TRUE(bitwise_equal(uniform(length, dtype(), global_first + first, -0.1, 0.1),
                                whole_uniform.slice(0, first, length)));
    }
  }
  for (int threads : {1, 2, 3}) {
    const IntraOpThreads scope(threads);
    EXPECT_TRUE(bitwise_equal(normal(20001, dtype(), global_first, 0.0, 0.02), whole_normal));
    EXPECT_TRUE(bitwise_equal(uniform(20001, dtype(), global_first, -0.1, 0.1), whole_uniform));
  }
}

// The dtypes draw the same numbers, each rounded from the next wider one.
TEST(Random, ADtypeDrawsTheWiderOnesNumbersRounded) {
  for (const auto& [wide, narrow] :
       {std::pair(DType::Float64, DType::Float32), std::pair(DType::Float32, DType::BFloat16)}) {
    EXPECT_TRUE(bitwise_equal(normal(10000, wide, 3).to(narrow), normal(10000, narrow, 3)));
    // Up to a number that few draws round to: those are the number below it.
    const Tensor expected = uniform(10000, wide, 3, -2.0, 1.0).to(narrow);
    const Tensor drawn = uniform(10000, narrow, 3, -2.0, 1.0);
    const reference::Matrix rounded = reference::to_matrix(expected);
    const reference::Matrix values = reference::to_matrix(drawn);
    int at_the_end = 0;
    for (Eigen::Index i = 0; i < values.size(); ++i) {
      if (rounded.data()[i] == 1.0) {
        ++at_the_end;
        EXPECT_LT(values.data()[i], 1.0);
        EXPECT_GE(values.data()[i], 1.0 - 1.0 / 256);
      } else {
        ASSERT_EQ(values.data()[i], rounded.data()[i]);
      }
    }
    EXPECT_LT(at_the_end, 20);
  }
}

TEST_P(RandomDistributionTest, NormalIsNormal) {
  const std::int64_t count = 400000;
  const std::vector<double> samples =
      normal(count, dtype(), 0, 3.0, 2.0).to(DType::Float64).to_vector<double>();
  const Eigen::Map<const Eigen::ArrayXd> array(samples.data(), count);
  const double root = std::sqrt(static_cast<double>(count));
  EXPECT_NEAR(array.mean(), 3.0, 5.0 * 2.0 / root);
  const double deviation = std::sqrt((array - array.mean()).square().mean());
  EXPECT_NEAR(deviation, 2.0, 5.0 * 2.0 / (std::sqrt(2.0) * root));
  const double kurtosis = ((array - 3.0) / 2.0).square().square().mean();
  EXPECT_NEAR(kurtosis, 3.0, 5.0 * std::sqrt(96.0) / root);
  // Neighbouring elements are independent.
  const double covariance =
      ((array.head(count - 1) - 3.0) * (array.tail(count - 1) - 3.0)).mean() / 4.0;
  EXPECT_NEAR(covariance, 0.0, 5.0 / root);
  // The statistic exceeds 1.95 / sqrt(count) once in a thousand seeds.
  EXPECT_LT(kolmogorov_smirnov(
                samples, [](double x) { return 0.5 * std::erfc(-(x - 3.0) / std::sqrt(8.0)); }),
            1.95 / root);
}

TEST_P(RandomDistributionTest, UniformIsUniform) {
  const std::int64_t count = 400000;
  const std::vector<double> samples =
      uniform(count, dtype(), 0, -1.0, 3.0).to(DType::Float64).to_vector<double>();
  const Eigen::Map<const Eigen::ArrayXd> array(samples.data(), count);
  const double root = std::sqrt(static_cast<double>(count));
  EXPECT_GE(array.minCoeff(), -1.0);
  EXPECT_LT(array.maxCoeff(), 3.0);
  EXPECT_NEAR(array.mean(), 1.0, 5.0 * 4.0 / std::sqrt(12.0) / root);
  EXPECT_LT(kolmogorov_smirnov(samples, [](double x) { return (x + 1.0) / 4.0; }), 1.95 / root);
}

// In the narrower dtype half of these draws would round to the upper end, which must stay excluded.
TEST_P(RandomTest, UniformExcludesItsUpperEnd) {
  const float low = 1.0f;
  const float high = dtype() == DType::BFloat16 ? 1.0078125f : std::nextafter(low, 2.0f);
  const Tensor x = uniform(1000, dtype(), 0, low, high);
  const reference::Matrix values = reference::to_matrix(x);
  EXPECT_GE(values.minCoeff(), low);
  EXPECT_LT(values.maxCoeff(), high);
}

// Ends between which there is one bfloat16 number, the lower one.
TEST(Random, UniformDoesNotFallBelowItsLowerEnd) {
  for (double low : {1.0, -1.0, 0.0}) {
    const Tensor x = uniform(1000, DType::BFloat16, 0, low, low + 1e-7 * std::fabs(low) + 1e-45);
    EXPECT_TRUE(bitwise_equal(x, Tensor::full({1000}, low, DType::BFloat16))) << low;
  }
}

TEST_P(RandomTest, ZeroDeviationIsTheMean) {
  EXPECT_TRUE(bitwise_equal(normal(10, dtype(), 0, 1.5, 0.0), Tensor::full({10}, 1.5, dtype())));
}

TEST_P(RandomTest, StreamsDiffer) {
  Tensor first = Tensor::empty({1000}, dtype());
  kernels::fill_normal(first, {1, 1}, 0, 0.0, 1.0);
  for (const RandomStream& other : {RandomStream{1, 2}, RandomStream{2, 1}}) {
    Tensor second = Tensor::empty({1000}, dtype());
    kernels::fill_normal(second, other, 0, 0.0, 1.0);
    const double cosine =
        (reference::to_matrix(first).cwiseProduct(reference::to_matrix(second))).sum() / 1000.0;
    EXPECT_NEAR(cosine, 0.0, 5.0 / std::sqrt(1000.0));
  }
}

TEST_P(RandomTest, Errors) {
  Tensor x = Tensor::zeros({4, 3}, dtype());
  Tensor ids = Tensor::zeros({4}, DType::Int32);
  Tensor transposed = x.transpose(0, 1);
  EXPECT_EQ(error_of([&] { kernels::fill_normal(x, {}, 0, 0.0, -1.0); }),
            "[fill_normal] standard_deviation is -1; expected at least 0");
  EXPECT_EQ(error_of([&] { kernels::fill_uniform(x, {}, 0, 1.0, 1.0); }),
            "[fill_uniform] low 1 is not below high 1");
  EXPECT_THAT(error_of([&] { kernels::fill_normal(x, {}, -3, 0.0, 1.0); }),
              HasSubstr("first_element is -3"));
  EXPECT_THAT(error_of([&] { kernels::fill_normal(ids, {}, 0, 0.0, 1.0); }),
              HasSubstr("int32 is not a floating type"));
  EXPECT_THAT(error_of([&] { kernels::fill_uniform(transposed, {}, 0, 0.0, 1.0); }),
              HasSubstr("not contiguous"));
}

}  // namespace
}  // namespace shardgrad
