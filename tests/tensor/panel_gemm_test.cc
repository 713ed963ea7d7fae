// Products by panels against Eigen in float64, whatever the processor: kernels::gemm takes this way
// only where it is the fastest.
#include "tensor/kernels/panel_gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/kernels/gemm.h"
#include "tests/tensor/gemm_case.h"

namespace shardgrad {
namespace {

using namespace reference;

// One panel and many, sums in one piece and in two, ends that are no whole tile, fewer blocks than
// threads.
const GemmCase kCases[] = {{1, 1, 1, 1},       {520, 100, 70, 1},  {520, 100, 70, 4},
                           {300, 1000, 90, 3}, {60, 208, 3100, 2}, {1100, 40, 33, 4},
                           {257, 385, 1537, 1}};

class PanelGemmTest : public ::testing::TestWithParam<GemmCase> {};
INSTANTIATE_TEST_SUITE_P(Sizes, PanelGemmTest, ::testing::ValuesIn(kCases), [](const auto& info) {
  return fmt::format("{}x{}x{}by{}", info.param.m, info.param.n, info.param.k, info.param.threads);
});

TEST_P(PanelGemmTest, IsTheProductAndNamesEachElementOnce) {
  const GemmCase& sizes = GetParam();
  const IntraOpThreads threads(sizes.threads);
  const Tensor a = surrounded(sizes.m, sizes.k, 1);
  for (int kind = 0; kind < 4; ++kind) {
    const bool accumulate = kind & 1, transposed = kind & 2;
    SCOPED_TRACE(fmt::format("accumulate {}, b transposed {}", accumulate, transposed));
    const Tensor b = surrounded(sizes.k, sizes.n, 2, transposed);
    const Tensor before = random_tensor({sizes.m, sizes.n + 3}, DType::Float32, 3);
    Tensor around = before.clone();
    Tensor c = around.slice(1, 1, sizes.n);
    Tensor times_done = Tensor::full({sizes.m, sizes.n}, 0.0);
    Tensor when_done = Tensor::full({sizes.m, sizes.n}, std::nan(""));
    cpu::multiply_by_panels(
        float_problem(a, b, c, accumulate), a, b, c, [&](const cpu::GemmBlock& block) {
          for (std::int64_t row = block.row; row < block.row + block.rows; ++row) {
            for (std::int64_t column = block.column; column < block.column + block.columns;
                 ++column) {
              times_done.data<float>()[row * sizes.n + column] += 1.0f;
              when_done.data<float>()[row * sizes.n + column] =
                  c.data<float>()[row * c.stride(0) + column];
            }
          }
        });
    Matrix expected = to_matrix(a) * to_matrix(b);
    if (accumulate) expected += to_matrix(before.slice(1, 1, sizes.n));
    EXPECT_LT(relative_difference(c, expected), 1e-6);
    EXPECT_TRUE(bitwise_equal(when_done, c.clone()));
    EXPECT_TRUE(bitwise_equal(times_done, Tensor::full({sizes.m, sizes.n}, 1.0)));
    c.copy_from(before.slice(1, 1, sizes.n));
    EXPECT_TRUE(bitwise_equal(around, before));
  }
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
