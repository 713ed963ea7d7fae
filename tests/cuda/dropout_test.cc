#include "tensor/kernels/dropout.h"

#include "tensor/kernels/random.h"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

class CudaDropoutTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaDropoutTest, all_dtypes(), dtype_name);

DropoutMask mask_at(std::int64_t first_element, double probability = 0.3) {
  return {probability, {17, 23}, first_element};
}

// First elements that start a Philox block and that do not, beyond 2^32 too.
const std::int64_t kFirstElements[] = {0, 4, 3, (std::int64_t{1} << 34) + 8,
                                       (std::int64_t{1} << 34) + 5};

TEST_P(CudaDropoutTest, TheMaskHasTheBitsOfTheCpus) {
  for (std::int64_t first : kFirstElements) {
    for (std::int64_t count : {1, 7, 64, 3001}) {
      const Input x = random_input({count}, dtype(), 1);
      Tensor out = device_output({count}, dtype());
      Tensor expected = Tensor::empty({count}, reference_dtype());
      kernels::dropout(x.device, mask_at(first), out);
      kernels::dropout(x.host, mask_at(first), expected);
      EXPECT_TRUE(same_bits(out, expected)) << count << " from " << first;
    }
  }
}

TEST_P(CudaDropoutTest, WithResidual) {
  for (std::int64_t first : kFirstElements) {
    const Input x = random_input({7, 143}, dtype(), 1),
                residual = random_input({7, 143}, dtype(), 2);
    Tensor out = x.device.clone();
    Tensor expected = Tensor::empty({7, 143}, reference_dtype());
    kernels::dropout_add(out, residual.device, mask_at(first), out);
    kernels::dropout_add(x.host, residual.host, mask_at(first), expected);
    EXPECT_LT(difference(out, expected), tolerance()) << first;
  }
}

TEST_P(CudaDropoutTest, ProbabilityZeroKeepsEverything) {
  const Input x = random_input({50}, dtype(), 1), residual = random_input({50}, dtype(), 2);
  Tensor out = device_output({50}, dtype());
  kernels::dropout(x.device, mask_at(0, 0.0), out);
  EXPECT_TRUE(same_bits(out, x.host));
  Tensor expected = Tensor::empty({50}, reference_dtype());
  kernels::dropout_add(x.device, residual.device, mask_at(0, 0.0), out);
  kernels::dropout_add(x.host, residual.host, mask_at(0, 0.0), expected);
  EXPECT_TRUE(same_bits(out, expected));
}

TEST_P(CudaDropoutTest, UniformFillsHaveTheBitsOfTheCpus) {
  for (std::int64_t first : kFirstElements) {
    Tensor x = device_output({1003}, reference_dtype());
    Tensor expected = Tensor::empty({1003}, reference_dtype());
    kernels::fill_uniform(x, {5, 6}, first, -0.2, 0.7);
    kernels::fill_uniform(expected, {5, 6}, first, -0.2, 0.7);
    EXPECT_TRUE(same_bits(x, expected)) << first;
  }
}

TEST_P(CudaDropoutTest, FillsInTheDtypeAreTheWideOnesRounded) {
  for (std::int64_t first : kFirstElements) {
    Tensor x = device_output({1003}, dtype());
    Tensor expected = Tensor::empty({1003}, DType::Float64);
    kernels::fill_normal(x, {5, 6}, first, 0.1, 0.02);
    kernels::fill_normal(expected, {5, 6}, first, 0.1, 0.02);
    EXPECT_LT(difference(x, expected), tolerance()) << first;
    kernels::fill_uniform(x, {5, 6}, first, -0.2, 0.7);
    kernels::fill_uniform(expected, {5, 6}, first, -0.2, 0.7);
    EXPECT_LT(difference(x, expected), tolerance()) << first;
  }
}

// Where a number just below `high` rounds up to it.
TEST_P(CudaDropoutTest, AUniformFillStaysBelowItsEnd) {
  Tensor x = device_output({20000}, dtype());
  kernels::fill_uniform(x, {1, 2}, 0, 100.0, 100.5);
  for (double value : x.to(Device{}).to(DType::Float64).to_vector<double>()) {
    ASSERT_LT(value, 100.5);
  }
}

}  // namespace
}  // namespace shardgrad
