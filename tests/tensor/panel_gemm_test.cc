// Products by panels against Eigen in float64, whatever the processor: kernels::gemm takes this way
// only where it is the fastest.
#include "tensor/kernels/panel_gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/kernels/gemm.h"
#include "tests/tensor/gemm_case.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using namespace reference;

// One panel and many, sums in one piece and in two, ends that are no whole tile, fewer blocks than
// threads.
const GemmCase kCases[] = {{1, 1, 1, 1},       {520, 100, 70, 1},  {520, 100, 70, 4},
                           {300, 1000, 90, 3}, {60, 208, 3100, 2}, {1100, 40, 33, 4},
                           {257, 385, 1537, 1}};

class PanelGemmTest : public ::testing::TestWithParam<GemmCase> {};
INSTANTIATE_TEST_SUITE_P(Sizes, PanelGemmTest, ::testing::ValuesIn(kCases), name_of_case);

TEST_P(PanelGemmTest, IsTheProductAndNamesEachElementOnce) {
  const GemmCase& sizes = GetParam();
  const IntraOpThreads threads(sizes.threads);
  const auto multiply = [&](const cpu::GemmProblem& problem, const Tensor& a, const Tensor& b,
                            Tensor& c) {
    Tensor times_done = Tensor::full({sizes.m, sizes.n}, 0.0);
    Tensor when_done = Tensor::full({sizes.m, sizes.n}, std::nan(""));
    cpu::multiply_by_panels(problem, a, b, c, [&](const cpu::GemmBlock& block) {
      for (std::int64_t row = block.row; row < block.row + block.rows; ++row) {
        for (std::int64_t column = block.column; column < block.column + block.columns; ++column) {
          times_done.data<float>()[row * sizes.n + column] += 1.0f;
          when_done.data<float>()[row * sizes.n + column] =
              c.data<float>()[row * c.stride(0) + column];
        }
      }
    });
    EXPECT_TRUE(bitwise_equal(when_done, c.clone()));
    EXPECT_TRUE(bitwise_equal(times_done, Tensor::full({sizes.m, sizes.n}, 1.0)));
  };
  for (bool transposed : {false, true}) {
    expect_product(sizes, /*a_transposed=*/false, transposed, multiply);
  }
}

// 300 x 500 are nine blocks, which do not keep 64 threads busy; oneDNN's own split does.
TEST(PanelGemm, LeavesAProductOfFewBlocksForManyThreads) {
  const IntraOpThreads threads(64);
  const Tensor a = Tensor::empty({300, 100}), c = Tensor::empty({300, 500});
  const Tensor b = Tensor::empty({500, 100}).transpose(0, 1);
  EXPECT_FALSE(cpu::prefers_panels(float_problem(a, b, c, false)));
}

// At a size for which some processors take this way, with the activation in it.
TEST(PanelGemm, BiasAndGeluAreThoseOfTheirKernels) {
  const Tensor a = random_tensor({600, 130}, DType::Float32, 1);
  const Tensor b = random_tensor({400, 130}, DType::Float32, 2).transpose(0, 1);
  const Tensor bias = random_tensor({400}, DType::Float32, 3);
  const Matrix product = (to_matrix(a) * to_matrix(b)).rowwise() + to_matrix(bias).row(0);
  Tensor expected = Tensor::empty({600, 400}), expected_y = Tensor::empty_like(expected);
  kernels::gemm(a, b, bias, expected, false);
  EXPECT_LT(relative_difference(expected, product), 1e-6);
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    Tensor pre_activation = Tensor::empty_like(expected), y = Tensor::empty_like(expected);
    kernels::gemm_bias_gelu(a, b, bias, kind, pre_activation, y);
    kernels::gelu_forward(expected, expected_y, kind);
    EXPECT_TRUE(bitwise_equal(pre_activation, expected));
    EXPECT_LT(relative_difference(y, expected_y), 1e-6);
  }
}

}  // namespace
}  // namespace shardgrad
