#include "tensor/kernels/reduce.h"

#include <cmath>

#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

class CudaReduceTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaReduceTest, all_dtypes(), dtype_name);

Tensor number(const Device& device) { return Tensor::full({}, -1.0, DType::Float64, device); }

TEST_P(CudaReduceTest, SumsAndLargestDifference) {
  // Up to several blocks, of which each thread takes several elements.
  for (std::int64_t count : {0, 1, 31, 257, 5000, 100003}) {
    const Input a = random_input({count}, dtype(), 1), b = random_input({count}, dtype(), 2);
    Tensor result = number(kGpu), expected = number({});
    kernels::sum(a.device, result);
    kernels::sum(a.host, expected);
    EXPECT_NEAR(result.item(), expected.item(), 1e-10 * std::sqrt(count + 1.0)) << count;
    kernels::sum_of_squares(a.device, result);
    kernels::sum_of_squares(a.host, expected);
    EXPECT_NEAR(result.item(), expected.item(), 1e-12 * expected.item()) << count;
    kernels::max_abs_difference(a.device, b.device, result);
    kernels::max_abs_difference(a.host, b.host, expected);
    EXPECT_EQ(result.item(), expected.item()) << count;
  }
}

TEST_P(CudaReduceTest, ANanAnywhereIsSeen) {
  for (std::int64_t place : {0, 999, 9999}) {
    std::vector<double> values(10000, 1.0);
    values[static_cast<std::size_t>(place)] = std::nan("");
    const Input x(Tensor::from(values, {10000}), dtype());
    const Input ones(Tensor::full({10000}, 1.0, DType::Float64), dtype());
    Tensor result = number(kGpu);
    kernels::sum(x.device, result);
    EXPECT_TRUE(std::isnan(result.item()));
    kernels::sum_of_squares(x.device, result);
    EXPECT_TRUE(std::isnan(result.item()));
    kernels::max_abs_difference(x.device, ones.device, result);
    EXPECT_TRUE(std::isnan(result.item()));
  }
}

TEST(CudaReduce, TheSquaresOfLargeFloatsDoNotOverflow) {
  const Tensor x = Tensor::full({1000}, 1e30, DType::Float32, kGpu);
  Tensor result = number(kGpu);
  kernels::sum_of_squares(x, result);
  EXPECT_NEAR(result.item(), 1e63, 1e57);
}

}  // namespace
}  // namespace shardgrad
