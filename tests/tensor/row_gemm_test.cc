// Products by rows against Eigen in float64, whatever the processor: kernels::gemm takes this way
// only where it is the fastest.
#include "tensor/kernels/row_gemm.h"

#include <gtest/gtest.h>

#include "tests/tensor/gemm_case.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using namespace reference;

class RowGemmTest : public ::testing::TestWithParam<GemmCase> {};

// One block and many, sums in one piece and in two, ends that are no whole tile, rows so few that
// the columns are shared out too, fewer blocks than threads.
const GemmCase kCases[] = {{1, 1, 1, 1},      {520, 100, 70, 1}, {300, 1000, 530, 3},
                           {97, 1700, 40, 2}, {33, 20, 257, 4},  {200, 385, 900, 1}};
INSTANTIATE_TEST_SUITE_P(Sizes, RowGemmTest, ::testing::ValuesIn(kCases), name_of_case);

TEST_P(RowGemmTest, IsTheProduct) {
  const IntraOpThreads threads(GetParam().threads);
  for (bool transposed : {false, true}) {
    expect_product(GetParam(), transposed, /*b_transposed=*/false, cpu::multiply_by_rows);
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

// 256 rows make four blocks, which do not keep 64 threads busy; oneDNN's own split does.
TEST(RowGemm, LeavesAProductOfFewBlocksForManyThreads) {
  const IntraOpThreads threads(64);
  const Tensor b = Tensor::empty({512, 256}), c = Tensor::empty({256, 256});
  for (bool transposed : {false, true}) {
    const Tensor a = surrounded(256, 512, 1, transposed);
    EXPECT_FALSE(cpu::prefers_rows(float_problem(a, b, c, false)));
  }
}

}  // namespace
}  // namespace shardgrad
