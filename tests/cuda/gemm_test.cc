#include "tensor/kernels/gemm.h"

#include "tensor/matmul_precision.h"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

class CudaGemmTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaGemmTest, all_dtypes(), dtype_name);

struct Sizes {
  std::int64_t m, n, k;
};
// One row, one column, an inner product, odd sizes, an empty sum, and nothing at all.
const Sizes kSizes[] = {{1, 1, 1}, {1, 17, 9}, {13, 1, 8}, {33, 40, 65}, {5, 7, 0}, {0, 4, 4}};

// A matrix with this shape on both devices, stored as its transpose when asked for, and as a slice
// of a wider one.
Input stored(std::int64_t rows, std::int64_t columns, bool transposed, DType dtype,
             std::uint64_t seed) {
  Input whole =
      random_input(transposed ? Shape{columns, rows + 3} : Shape{rows, columns + 3}, dtype, seed);
  const auto view = [&](const Tensor& tensor) {
    const Tensor part = tensor.slice(1, 2, transposed ? rows : columns);
    return transposed ? part.transpose(0, 1) : part;
  };
  whole.device = view(whole.device);
  whole.host = view(whole.host);
  return whole;
}

TEST_P(CudaGemmTest, EveryLayoutBiasAndAccumulation) {
  for (const Sizes& s : kSizes) {
    for (int variant = 0; variant < 4; ++variant) {
      const Input a = stored(s.m, s.k, variant % 2 == 1, dtype(), 1);
      const Input b = stored(s.k, s.n, variant / 2 == 1, dtype(), 2);
      const Input bias = random_input({s.n}, dtype(), 3);
      const Input before = random_input({s.m, s.n}, dtype(), 4);
      for (int mode = 0; mode < 3; ++mode) {  // plain, bias, accumulate
        const bool accumulate = mode == 2;
        Tensor c = before.device.clone();
        Tensor expected = before.host.clone();
        kernels::gemm(a.device, b.device, mode == 1 ? bias.device : Tensor(), c, accumulate);
        kernels::gemm(a.host, b.host, mode == 1 ? bias.host : Tensor(), expected, accumulate);
        EXPECT_LT(difference(c, expected), tolerance())
            << s.m << " x " << s.n << " x " << s.k << ", variant " << variant << ", mode " << mode;
        Tensor wide = before.device.to(accumulator()).clone();
        kernels::gemm(a.device, b.device, mode == 1 ? bias.device : Tensor(), wide, accumulate);
        EXPECT_LT(difference(wide, expected), accumulator_tolerance());
      }
    }
  }
}

TEST_P(CudaGemmTest, TheRestOfASlicedResultStaysAsItIs) {
  const Input a = random_input({6, 5}, dtype(), 1), b = random_input({5, 8}, dtype(), 2);
  const Input bias = random_input({8}, dtype(), 3);
  Tensor c = Tensor::full({6, 20}, 3.0, dtype(), kGpu);
  Tensor expected = Tensor::full({6, 20}, 3.0, reference_dtype());
  Tensor part = c.slice(1, 4, 8), expected_part = expected.slice(1, 4, 8);
  kernels::gemm(a.device, b.device, bias.device, part, false);
  kernels::gemm(a.host, b.host, bias.host, expected_part, false);
  EXPECT_LT(difference(c, expected), tolerance());
}

TEST_P(CudaGemmTest, BiasAndGelu) {
  // Columns that the epilogue takes, and that it does not.
  for (std::int64_t columns : {64, 33}) {
    for (GeluKind kind : {GeluKind::Tanh, GeluKind::Exact}) {
      const Input a = random_input({21, 40}, dtype(), 1, 0.3);
      const Input b = random_input({40, columns}, dtype(), 2);
      const Input bias = random_input({columns}, dtype(), 3);
      Tensor pre = device_output({21, columns}, dtype()), y = device_output({21, columns}, dtype());
      Tensor host_pre = Tensor::empty({21, columns}, reference_dtype());
      Tensor host_y = Tensor::empty({21, columns}, reference_dtype());
      kernels::gemm_bias_gelu(a.device, b.device, bias.device, kind, pre, y);
      kernels::gemm_bias_gelu(a.host, b.host, bias.host, kind, host_pre, host_y);
      EXPECT_LT(difference(pre, host_pre), tolerance()) << columns;
      EXPECT_LT(difference(y, host_y), 2 * tolerance()) << columns;
    }
  }
}

TEST(CudaGemm, Tf32IsAChoice) {
  const Input a = random_input({32, 64}, DType::Float32, 1);
  const Input b = random_input({64, 32}, DType::Float32, 2);
  Tensor expected = Tensor::empty({32, 32});
  kernels::gemm(a.host, b.host, {}, expected, false);
  Tensor c = device_output({32, 32}, DType::Float32);
  EXPECT_FALSE(allow_tf32());
  set_allow_tf32(true);
  kernels::gemm(a.device, b.device, {}, c, false);
  set_allow_tf32(false);
  EXPECT_LT(difference(c, expected), 2e-3);
  kernels::gemm(a.device, b.device, {}, c, false);
  EXPECT_LT(difference(c, expected), 1e-6);
}

}  // namespace
}  // namespace shardgrad
