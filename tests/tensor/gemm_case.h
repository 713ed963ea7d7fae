// Products for the tests of single ways to multiply, whatever the processor prefers.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "tensor/kernels/gemm_problem.h"
#include "tensor/parallel_for.h"
#include "tests/support/reference.h"

namespace shardgrad::reference {

/// The extents of a product c [m, n] = a [m, k] b [k, n], and how many threads compute it.
struct GemmCase {
  std::int64_t m, n, k;
  int threads;
};

/// Its name as a test's parameter.
inline std::string name_of_case(const ::testing::TestParamInfo<GemmCase>& info) {
  const GemmCase& sizes = info.param;
  return fmt::format("{}x{}x{}by{}", sizes.m, sizes.n, sizes.k, sizes.threads);
}

/// A matrix with NaN around it, so that reading beyond its ends shows.
inline Tensor surrounded(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  const Tensor all = Tensor::full({rows + 2, columns + 5}, std::nan(""));
  Tensor view = all.slice(0, 1, rows).slice(1, 2, columns);
  view.copy_from(random_tensor({rows, columns}, DType::Float32, seed));
  return view;
}

/// The same [rows, columns] in memory row by row, or, `transposed`, column by column.
inline Tensor surrounded(std::int64_t rows, std::int64_t columns, std::uint64_t seed,
                         bool transposed) {
  return transposed ? surrounded(columns, rows, seed).transpose(0, 1)
                    : surrounded(rows, columns, seed);
}

/// c (+)= a b, without a bias, on the threads of the caller.
inline cpu::GemmProblem float_problem(const Tensor& a, const Tensor& b, const Tensor& c,
                                      bool accumulate) {
  return {c.size(0),         c.size(1),  a.size(1),      layout_of(a, "a"), layout_of(b, "b"),
          layout_of(c, "c"),
          /*bias=*/false,    accumulate, DType::Float32, DType::Float32,    intra_op_threads()};
}

/// Checks that multiply(problem, a, b, c) makes the product that Eigen makes in float64, as it is
/// and added to what is there, and writes nothing else; a and b are `transposed` in memory or not.
template <class Multiply>
void expect_product(const GemmCase& sizes, bool a_transposed, bool b_transposed,
                    const Multiply& multiply) {
  SCOPED_TRACE(fmt::format("transposed: a {}, b {}", a_transposed, b_transposed));
  const Tensor a = surrounded(sizes.m, sizes.k, 1, a_transposed);
  const Tensor b = surrounded(sizes.k, sizes.n, 2, b_transposed);
  for (bool accumulate : {false, true}) {
    SCOPED_TRACE(fmt::format("accumulate {}", accumulate));
    const Tensor before = random_tensor({sizes.m, sizes.n + 3}, DType::Float32, 3);
    Tensor around = before.clone();
    Tensor c = around.slice(1, 1, sizes.n);
    multiply(float_problem(a, b, c, accumulate), a, b, c);
    Matrix expected = to_matrix(a) * to_matrix(b);
    if (accumulate) expected += to_matrix(before.slice(1, 1, sizes.n));
    EXPECT_LT(relative_difference(c, expected), 1e-6);
    c.copy_from(before.slice(1, 1, sizes.n));
    EXPECT_TRUE(bitwise_equal(around, before));
  }
}

}  // namespace shardgrad::reference
