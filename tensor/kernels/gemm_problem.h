// What a matrix product is, but for its numbers.
#pragma once

#include "tensor/kernels/matrix_layout.h"

namespace shardgrad::cpu {

/// A product c [m, n] (+)= a [m, k] b [k, n] (+ bias).
struct GemmProblem {
  std::int64_t m, n, k;
  MatrixLayout a, b, c;
  bool bias, accumulate;
  DType dtype, c_dtype;
  int threads;
};

/// A part of c.
struct GemmBlock {
  std::int64_t row, column, rows, columns;
};

}  // namespace shardgrad::cpu
