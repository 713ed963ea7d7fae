// kernels::gemm against Eigen in float64: every layout of the operands, and what must not change.
#include "tensor/kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::HasSubstr;

class GemmTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, GemmTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

struct Sizes {
  std::int64_t m, n, k;
};

const Sizes kSizes[] = {{1, 1, 1},   {1, 48, 7},   {48, 1, 7},       {7, 5, 1},
                        {1, 1, 300}, {37, 48, 53}, {257, 1000, 129}, {64, 64, 64}};

// Whether an operand lies in memory as it is used or transposed, and whether it is all of its
// memory or a slice.
struct Lie {
  bool transposed = false;
  bool sliced = false;
};

// Random elements. A slice's surroundings hold NaN, so that reading one of them shows.
Tensor operand(std::int64_t rows, std::int64_t columns, const Lie& lie, DType dtype,
               std::uint64_t seed) {
  const Shape stored = lie.transposed ? Shape{columns, rows} : Shape{rows, columns};
  const Tensor values = random_tensor(stored, dtype, seed);
  Tensor view = values;
  if (lie.sliced) {
    const Tensor all = Tensor::full({stored[0] + 3, stored[1] + 5}, std::nan(""), dtype);
    view = all.slice(0, 1, stored[0]).slice(1, 2, stored[1]);
    view.copy_from(values);
  }
  return lie.transposed ? view.transpose(0, 1) : view;
}

std::string describe(const Sizes& sizes, const Lie& a, const Lie& b) {
  return fmt::format("M={} N={} K={}, a transposed={} sliced={}, b transposed={} sliced={}",
                     sizes.m, sizes.n, sizes.k, a.transposed, a.sliced, b.transposed, b.sliced);
}

// Calls check(a, b, sizes) for all sizes, transpositions and slices.
template <class Check>
void for_each_layout(DType dtype, const Check& check) {
  for (const Sizes& sizes : kSizes) {
    for (int layout = 0; layout < 16; ++layout) {
      const Lie a{(layout & 1) != 0, (layout & 2) != 0};
      const Lie b{(layout & 4) != 0, (layout & 8) != 0};
      SCOPED_TRACE(describe(sizes, a, b));
      check(operand(sizes.m, sizes.k, a, dtype, 1), operand(sizes.k, sizes.n, b, dtype, 2), sizes);
    }
  }
}

TEST_P(GemmTest, OverwritesInEveryLayout) {
  for_each_layout(dtype(), [](const Tensor& a, const Tensor& b, const Sizes& sizes) {
    Tensor c = Tensor::full({sizes.m, sizes.n}, std::nan(""), dtype());
    kernels::gemm(a, b, Tensor(), c, /*accumulate=*/false);
    EXPECT_LT(relative_difference(c, Matrix(to_matrix(a) * to_matrix(b))), tolerance());
    Tensor sums = Tensor::full({sizes.m, sizes.n}, std::nan(""), accumulator());
    kernels::gemm(a, b, Tensor(), sums, /*accumulate=*/false);
    EXPECT_LT(relative_difference(sums, Matrix(to_matrix(a) * to_matrix(b))), sum_tolerance());
  });
}

TEST_P(GemmTest, AddsTheBias) {
  for_each_layout(dtype(), [](const Tensor& a, const Tensor& b, const Sizes& sizes) {
    const Tensor bias = random_tensor({sizes.n}, dtype(), 3);
    Tensor c = Tensor::full({sizes.m, sizes.n}, std::nan(""), dtype());
    kernels::gemm(a, b, bias, c, /*accumulate=*/false);
    const Matrix expected = (to_matrix(a) * to_matrix(b)).rowwise() + to_matrix(bias).row(0);
    EXPECT_LT(relative_difference(c, expected), tolerance());
    Tensor sums = Tensor::full({sizes.m, sizes.n}, std::nan(""), accumulator());
    kernels::gemm(a, b, bias, sums, /*accumulate=*/false);
    EXPECT_LT(relative_difference(sums, expected), sum_tolerance());
  });
}

TEST_P(GemmTest, Accumulates) {
  for_each_layout(dtype(), [](const Tensor& a, const Tensor& b, const Sizes& sizes) {
    const Tensor before = random_tensor({sizes.m, sizes.n}, dtype(), 4);
    Tensor c = before.clone();
    kernels::gemm(a, b, Tensor(), c, /*accumulate=*/true);
    const Matrix expected = to_matrix(before) + to_matrix(a) * to_matrix(b);
    EXPECT_LT(relative_difference(c, expected), tolerance());
    Tensor sums = before.to(accumulator()).clone();
    kernels::gemm(a, b, Tensor(), sums, /*accumulate=*/true);
    EXPECT_LT(relative_difference(sums, expected), sum_tolerance());
  });
}

// Rows of b a multiple of 4 KiB apart, which float32 packs first.
TEST_P(GemmTest, RowsThatCollideInTheCache) {
  const Tensor a = random_tensor({130, 131}, dtype(), 1);
  const Tensor b = random_tensor({131, 3072}, dtype(), 2);
  const Tensor bias = random_tensor({3072}, dtype(), 3);
  const Matrix product = to_matrix(a) * to_matrix(b);
  Tensor c = Tensor::full({130, 3072}, std::nan(""), dtype());
  kernels::gemm(a, b, Tensor(), c, /*accumulate=*/false);
  EXPECT_LT(relative_difference(c, product), tolerance());
  kernels::gemm(a, b, bias, c, /*accumulate=*/false);
  EXPECT_LT(relative_difference(c, Matrix(product.rowwise() + to_matrix(bias).row(0))),
            tolerance());
  const Tensor before = random_tensor({130, 3072}, dtype(), 4);
  Tensor sums = before.clone();
  kernels::gemm(a, b, Tensor(), sums, /*accumulate=*/true);
  EXPECT_LT(relative_difference(sums, Matrix(to_matrix(before) + product)), tolerance());
}

// The products of a layer's backward pass, at sizes for which float32 takes another way than for
// those above: row-major factors, and a transposed left one in a result that is square or long.
TEST_P(GemmTest, GradientsOfALayer) {
  for (const Sizes& sizes : {Sizes{130, 160, 71}, Sizes{1300, 1100, 65}, Sizes{1152, 72, 80}}) {
    for (bool transposed : {false, true}) {
      for (bool sliced : {false, true}) {
        SCOPED_TRACE(describe(sizes, {transposed, sliced}, {false, sliced}));
        const Tensor a = operand(sizes.m, sizes.k, {transposed, sliced}, dtype(), 1);
        const Tensor b = operand(sizes.k, sizes.n, {false, sliced}, dtype(), 2);
        const Matrix product = to_matrix(a) * to_matrix(b);
        Tensor around = Tensor::full({sizes.m, sizes.n + 3}, std::nan(""), dtype());
        Tensor c = around.slice(1, 1, sizes.n);
        kernels::gemm(a, b, Tensor(), c, /*accumulate=*/false);
        EXPECT_LT(relative_difference(c, product), tolerance());
        const Tensor before = random_tensor({sizes.m, sizes.n}, dtype(), 3);
        c.copy_from(before);
        kernels::gemm(a, b, Tensor(), c, /*accumulate=*/true);
        EXPECT_LT(relative_difference(c, Matrix(to_matrix(before) + product)), tolerance());
        for (std::int64_t column : {std::int64_t{0}, sizes.n + 1, sizes.n + 2}) {
          EXPECT_TRUE(std::isnan(to_matrix(around)(sizes.m - 1, column)));
        }
      }
    }
  }
}

TEST_P(GemmTest, BiasAndGeluAreThoseOfTheirKernels) {
  const Tensor a = random_tensor({37, 53}, dtype(), 1);
  const Tensor b = random_tensor({48, 53}, dtype(), 2).transpose(0, 1);
  const Tensor bias = random_tensor({48}, dtype(), 3);
  Tensor expected = Tensor::empty({37, 48}, dtype()), expected_y = Tensor::empty_like(expected);
  kernels::gemm(a, b, bias, expected, false);
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    Tensor pre_activation = Tensor::empty_like(expected), y = Tensor::empty_like(expected);
    kernels::gemm_bias_gelu(a, b, bias, kind, pre_activation, y);
    kernels::gelu_forward(expected, expected_y, kind);
    EXPECT_TRUE(bitwise_equal(pre_activation, expected));
    EXPECT_TRUE(bitwise_equal(y, expected_y));
  }
}

// A slice of c is written, and nothing of what lies around it.
TEST_P(GemmTest, WritesOnlyItsSlice) {
  for (const Sizes& sizes : kSizes) {
    SCOPED_TRACE(describe(sizes, {}, {}));
    const Tensor a = operand(sizes.m, sizes.k, {false, true}, dtype(), 1);
    const Tensor b = operand(sizes.k, sizes.n, {true, true}, dtype(), 2);
    const Tensor bias = random_tensor({sizes.n}, dtype(), 3);
    const Matrix product = to_matrix(a) * to_matrix(b);
    const Tensor before = random_tensor({sizes.m + 4, sizes.n + 7}, dtype(), 5);
    for (int mode = 0; mode < 3; ++mode) {
      const bool accumulate = mode == 1;
      const bool has_bias = mode == 2;
      Tensor all = before.clone();
      Tensor c = all.slice(0, 2, sizes.m).slice(1, 3, sizes.n);
      kernels::gemm(a, b, has_bias ? bias : Tensor(), c, accumulate);
      Matrix expected = product;
      if (accumulate) expected += to_matrix(before).block(2, 3, sizes.m, sizes.n);
      if (has_bias) expected.rowwise() += to_matrix(bias).row(0);
      EXPECT_LT(relative_difference(c, expected), tolerance()) << "mode " << mode;
      c.copy_from(before.slice(0, 2, sizes.m).slice(1, 3, sizes.n));
      EXPECT_TRUE(bitwise_equal(all, before)) << "mode " << mode;
    }
  }
}

// Views whose extents of 1 carry odd strides: a column of a matrix as [M, 1], as [1, M], and an
// output of one column inside a wider matrix.
TEST_P(GemmTest, SingleRowsAndColumnsOfLargerMatrices) {
  const Tensor matrix = random_tensor({37, 48}, dtype(), 1);
  const Tensor column = matrix.slice(1, 5, 1);
  const Tensor row = matrix.slice(0, 5, 1);
  const Matrix values = to_matrix(matrix);
  Tensor gram = Tensor::empty({1, 1}, dtype());
  kernels::gemm(column.transpose(0, 1), column, Tensor(), gram, false);
  EXPECT_LT(relative_difference(gram, Matrix(values.col(5).transpose() * values.col(5))),
            tolerance());
  Tensor outer = Tensor::empty({37, 48}, dtype());
  kernels::gemm(column, row, Tensor(), outer, false);
  EXPECT_LT(relative_difference(outer, Matrix(values.col(5) * values.row(5))), tolerance());
  const Tensor before = random_tensor({37, 9}, dtype(), 2);
  Tensor wide = before.clone();
  Tensor target = wide.slice(1, 4, 1);
  kernels::gemm(matrix, row.transpose(0, 1), Tensor(), target, false);
  EXPECT_LT(relative_difference(target, Matrix(values * values.row(5).transpose())), tolerance());
  target.copy_from(before.slice(1, 4, 1));
  EXPECT_TRUE(bitwise_equal(wide, before));
}

TEST_P(GemmTest, EmptySums) {
  const Tensor a = Tensor::empty({3, 0}, dtype());
  const Tensor b = Tensor::empty({0, 4}, dtype());
  const Tensor bias = random_tensor({4}, dtype(), 1);
  const Tensor before = random_tensor({3, 4}, dtype(), 2);
  Tensor c = before.clone();
  kernels::gemm(a, b, Tensor(), c, /*accumulate=*/true);
  EXPECT_TRUE(bitwise_equal(c, before));
  kernels::gemm(a, b, bias, c, /*accumulate=*/false);
  EXPECT_EQ(relative_difference(c, Matrix(to_matrix(bias).replicate(3, 1))), 0.0);
  kernels::gemm(a, b, Tensor(), c, /*accumulate=*/false);
  EXPECT_TRUE(bitwise_equal(c, Tensor::zeros({3, 4}, dtype())));
  // The same in a slice.
  Tensor all = Tensor::full({5, 9}, 7.0, dtype());
  Tensor slice = all.slice(0, 1, 3).slice(1, 2, 4);
  kernels::gemm(a, b, bias, slice, /*accumulate=*/false);
  Matrix expected = Matrix::Constant(5, 9, 7.0);
  expected.block(1, 2, 3, 4) = to_matrix(bias).replicate(3, 1);
  EXPECT_EQ(relative_difference(all, expected), 0.0);
  // No row, no column: nothing to do, nothing to fail.
  Tensor no_rows = Tensor::empty({0, 4}, dtype());
  kernels::gemm(Tensor::empty({0, 5}, dtype()), Tensor::zeros({5, 4}, dtype()), Tensor(), no_rows,
                false);
}

TEST_P(GemmTest, RepeatsBitForBit) {
  const Tensor a = random_tensor({257, 129}, dtype(), 1);
  const Tensor b = random_tensor({1000, 129}, dtype(), 2).transpose(0, 1);
  Tensor first = Tensor::empty({257, 1000}, dtype());
  kernels::gemm(a, b, Tensor(), first, false);
  for (int repeat = 0; repeat < 3; ++repeat) {
    Tensor again = Tensor::empty({257, 1000}, dtype());
    kernels::gemm(a, b, Tensor(), again, false);
    EXPECT_TRUE(bitwise_equal(again, first));
  }
}

// Every number of threads computes the same product (its bits may differ).
TEST_P(GemmTest, AnyNumberOfThreads) {
  const Tensor a = random_tensor({257, 129}, dtype(), 1);
  const Tensor b = random_tensor({129, 1000}, dtype(), 2);
  const Matrix expected = to_matrix(a) * to_matrix(b);
  for (int threads : {1, 2, 3, 5}) {
    const kernel_testing::IntraOpThreads scope(threads);
    Tensor c = Tensor::empty({257, 1000}, dtype());
    kernels::gemm(a, b, Tensor(), c, false);
    EXPECT_LT(relative_difference(c, expected), tolerance()) << threads;
  }
}

TEST_P(GemmTest, NanAndInfinityPropagate) {
  Tensor a = random_tensor({3, 5}, dtype(), 1);
  const Tensor b = random_tensor({5, 4}, dtype(), 2);
  a.slice(0, 1, 1).slice(1, 2, 1).fill(std::nan(""));
  Tensor c = Tensor::empty({3, 4}, dtype());
  kernels::gemm(a, b, Tensor(), c, false);
  const Matrix result = to_matrix(c);
  EXPECT_TRUE(result.row(0).allFinite());
  EXPECT_TRUE(result.row(1).array().isNaN().all());
  EXPECT_TRUE(result.row(2).allFinite());
}

TEST_P(GemmTest, Errors) {
  const Tensor a = Tensor::zeros({3, 5}, dtype());
  const Tensor b = Tensor::zeros({5, 4}, dtype());
  Tensor c = Tensor::zeros({3, 4}, dtype());
  const auto message = [&](const Tensor& left, const Tensor& right, const Tensor& bias, Tensor out,
                           bool accumulate = false) {
    return error_of([&] { kernels::gemm(left, right, bias, out, accumulate); });
  };
  EXPECT_EQ(message(a, b, Tensor(), c), "");
  EXPECT_EQ(message(a, Tensor::zeros({6, 4}, dtype()), Tensor(), c),
            "[gemm] a is [3, 5], b [6, 4], c [3, 4]; expected [M, K], [K, N], [M, N]");
  EXPECT_THAT(message(a, b, Tensor(), Tensor::zeros({4, 3}, dtype())), HasSubstr("c [4, 3]"));
  EXPECT_THAT(message(a, b, Tensor(), Tensor::zeros({4, 4}, dtype())), HasSubstr("c [4, 4]"));
  EXPECT_THAT(message(a, b, Tensor(), Tensor()), HasSubstr("c []"));
  EXPECT_THAT(message(Tensor::zeros({1, 3, 5}, dtype()), b, Tensor(), c), HasSubstr("a is [1, 3"));
  const DType other = dtype() == DType::Float64 ? DType::Float32 : DType::Float64;
  EXPECT_THAT(message(a, b.to(other), Tensor(), c), HasSubstr("expected one dtype"));
  EXPECT_THAT(message(a, b, Tensor(), c.to(other)), HasSubstr("expected one dtype"));
  const Tensor bias = Tensor::zeros({4}, dtype());
  EXPECT_THAT(message(a, b, Tensor::zeros({5}, dtype()), c),
              HasSubstr("bias is [5]; expected contiguous [4]"));
  EXPECT_THAT(message(a, b, bias.to(other), c), HasSubstr("bias is [4]"));
  EXPECT_THAT(message(a, b, Tensor::zeros({1, 4}, dtype()), c), HasSubstr("bias is [1, 4]"));
  EXPECT_THAT(message(a, b, bias, c, true), HasSubstr("bias and accumulate exclude each other"));
  EXPECT_THAT(message(a, b, Tensor(), Tensor::zeros({4, 3}, dtype()).transpose(0, 1)),
              HasSubstr("expected row-major"));
  const Tensor integers = Tensor::zeros({3, 3}, DType::Int32);
  EXPECT_THAT(message(integers, integers, Tensor(), integers.clone()),
              HasSubstr("int32 is not a floating type"));
}

}  // namespace
}  // namespace shardgrad
