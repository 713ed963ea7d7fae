// Products by panels against Eigen in float64, whatever the processor: kernels::gemm takes this way
// only where it is the fastest.
#include "tensor/kernels/panel_gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/kernels/gemm.h"
#include "tensor/parallel_for.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;

struct Case {
  std::int64_t m, n, k;
  int threads;
};

// One panel and many, sums in one piece and in two, ends that are no whole tile, few columns, which
// leaves the threads the rows.
const Case kCases[] = {{1, 1, 1, 1},       {520, 100, 70, 1},  {520, 100, 70, 4},
                       {300, 1000, 90, 3}, {60, 208, 3100, 2}, {1100, 40, 33, 4},
                       {257, 385, 1537, 1}};

// A matrix with NaN around it, so that reading beyond its ends shows.
Tensor surrounded(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  const Tensor all = Tensor::full({rows + 2, columns + 5}, std::nan(""));
  Tensor view = all.slice(0, 1, rows).slice(1, 2, columns);
  view.copy_from(random_tensor({rows, columns}, DType::Float32, seed));
  return view;
}

class PanelGemmTest : public ::testing::TestWithParam<Case> {
 protected:
  PanelGemmTest() { set_intra_op_threads(GetParam().threads); }
  ~PanelGemmTest() override { set_intra_op_threads(threads_before_); }

 private:
  int threads_before_ = intra_op_threads();
};
INSTANTIATE_TEST_SUITE_P(Sizes, PanelGemmTest, ::testing::ValuesIn(kCases), [](const auto& info) {
  return fmt::format("{}x{}x{}by{}", info.param.m, info.param.n, info.param.k, info.param.threads);
});

TEST_P(PanelGemmTest, IsTheProductAndNamesEachElementOnce) {
  const Case& sizes = GetParam();
  const Tensor a = surrounded(sizes.m, sizes.k, 1);
  const Tensor b = surrounded(sizes.n, sizes.k, 2).transpose(0, 1);
  const Matrix product = to_matrix(a) * to_matrix(b);
  for (bool accumulate : {false, true}) {
    SCOPED_TRACE(accumulate);
    const Tensor before = random_tensor({sizes.m, sizes.n + 3}, DType::Float32, 3);
    Tensor around = before.clone();
    Tensor c = around.slice(1, 1, sizes.n);
    const cpu::GemmProblem problem{sizes.m,           sizes.n,           sizes.k,
                                   layout_of(a, "a"), layout_of(b, "b"), layout_of(c, "c"),
                                   /*bias=*/false,    accumulate,        DType::Float32,
                                   DType::Float32,    sizes.threads};
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
    Matrix expected = product;
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
