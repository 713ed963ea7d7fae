// How a matrix view lies in memory, as matrix multiplication libraries want to know it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/tensor.h"

namespace shardgrad {

/// Rows (or, when column-major, columns) of consecutive elements, `leading` elements apart.
struct MatrixLayout {
  bool row_major;
  std::int64_t leading;
};

/// The layout of `matrix`, the argument `name` of gemm().
/// @throws Error unless one stride is 1 and the other at least the extent it spans.
inline MatrixLayout layout_of(const Tensor& matrix, const char* name) {
  const std::int64_t rows = matrix.size(0), columns = matrix.size(1);
  const std::int64_t row_stride = matrix.stride(0), column_stride = matrix.stride(1);
  // An extent of 1 has no stride to speak of.
  if ((column_stride == 1 || columns == 1) && (row_stride >= columns || rows == 1)) {
    return {true, std::max(rows == 1 ? columns : row_stride, columns)};
  }
  if ((row_stride == 1 || rows == 1) && (column_stride >= rows || columns == 1)) {
    return {false, std::max(columns == 1 ? rows : column_stride, rows)};
  }
  fail("gemm",
       "{} of shape {} has strides {}; expected one stride of 1 and the other at least the "
       "extent it spans",
       name, matrix.shape().to_string(), matrix.strides().to_string());
}

}  // namespace shardgrad
