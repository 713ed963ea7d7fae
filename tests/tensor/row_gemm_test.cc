// Products by rows against Eigen in float64, whatever the processor: kernels::gemm takes this way
// only where it is the fastest.
#include "tensor/kernels/row_gemm.h"

#include <gtest/gtest.h>

#include "tests/tensor/gemm_case.h"

namespace shardgrad {
namespace {

using namespace reference;

class RowGemmTest : public ::testing::TestWithParam<GemmCase> {};

// One block and many, sums in one piece and in two, ends that are no whole tile, rows so few that
// the columns are shared out too, fewer blocks than threads.
const GemmCase kCases[] = {{1, 1, 1, 1},      {520, 100, 70, 1}, {300, 1000, 530, 3},
                           {97, 1700, 40, 2}, {33, 20, 257, 4},  {200, 385, 900, 1}};
INSTANTIATE_TEST_SUITE_P(Sizes, RowGemmTest, ::testing::ValuesIn(kCases), [](const auto& info) {
  return fmt::format("{}x{}x{}by{}", info.param.m, info.param.n, info.param.k, info.param.threads);
});

TEST_P(RowGemmTest, IsTheProduct) {
  const GemmCase& sizes = GetParam();
  const IntraOpThreads threads(sizes.threads);
  const Tensor b = surrounded(sizes.k, sizes.n, 2);
  for (int kind = 0; kind < 4; ++kind) {
    const bool accumulate = kind & 1, transposed = kind & 2;
    SCOPED_TRACE(fmt::format("accumulate {}, a transposed {}", accumulate, transposed));
    const Tensor a = surrounded(sizes.m, sizes.k, 1, transposed);
    const Tensor before = random_tensor({sizes.m, sizes.n + 3}, DType::Float32, 3);
    Tensor around = before.clone();
    Tensor c = around.slice(1, 1, sizes.n);
    cpu::multiply_by_rows(float_problem(a, b, c, accumulate), a, b, c);
    Matrix expected = to_matrix(a) * to_matrix(b);
    if (accumulate) expected += to_matrix(before.slice(1, 1, sizes.n));
    EXPECT_LT(relative_difference(c, expected), 1e-6);
    c.copy_from(before.slice(1, 1, sizes.n));
    EXPECT_TRUE(bitwise_equal(around, before));
  }
}

// Which thread computes a block depends on how fast the threads are, and must not show.
TEST(RowGemm, RepeatsBitForBit) {
  const IntraOpThreads threads(4);
  for (bool transposed : {false, true}) {
    const Tensor a = surrounded(500, 700, 1, transposed), b = surrounded(700, 900, 2);
    Tensor first = Tensor::empty({500, 900}), again = Tensor::empty({500, 900});
    cpu::multiply_by_rows(float_problem(a, b, first, false), a, b, first);
    for (int repeat = 0; repeat < 5; ++repeat) {
      cpu::multiply_by_rows(float_problem(a, b, again, false), a, b, again);
      EXPECT_TRUE(bitwise_equal(again, first)) << transposed << " " << repeat;
    }
  }
}

}  // namespace
}  // namespace shardgrad
