// Parts of float32 matrices in row order, and their products.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <cstdint>

#include "tensor/kernels/small_products.h"

namespace shardgrad::cpu {

/// A row-major part of a matrix: where it begins, and how far apart its rows are.
struct Rows {
  const float* data;
  std::int64_t leading;
};

/// Columns that are added to rows in scratch memory: a multiple of 4 KiB apart they would fall on
/// few lines of the first cache.
inline constexpr std::int64_t kRowPadding = 16;

/// The number of parts of at most `most` that `count` makes.
inline std::int64_t parts_of(std::int64_t count, std::int64_t most) {
  return (count + most - 1) / most;
}

/// The length of equal parts of `count`, a multiple of `unit`, with at most `most`, itself such a
/// multiple, in each; the last may be shorter.
inline std::int64_t equal_parts(std::int64_t count, std::int64_t most, std::int64_t unit) {
  return parts_of(parts_of(count, parts_of(count, most)), unit) * unit;
}

/// to [rows, columns], rows `to_leading` apart, = from.
inline void copy_into(const Rows& from, std::int64_t rows, std::int64_t columns, float* to,
                      std::int64_t to_leading) {
  for (std::int64_t row = 0; row < rows; ++row) {
    std::copy_n(from.data + row * from.leading, columns, to + row * to_leading);
  }
}

/// to [columns, rows], rows `to_leading` apart, = the transpose of from [rows, columns].
inline void transpose_into(const Rows& from, std::int64_t rows, std::int64_t columns, float* to,
                           std::int64_t to_leading) {
  constexpr std::int64_t kTile = kVectorLanes<float>;
  const std::int64_t tiled_rows = rows / kTile * kTile, tiled_columns = columns / kTile * kTile;
  for (std::int64_t row = 0; row < tiled_rows; row += kTile) {
    for (std::int64_t column = 0; column < tiled_columns; column += kTile) {
      transpose_tile(from.data + row * from.leading + column, from.leading,
                     to + column * to_leading + row, to_leading);
    }
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = row < tiled_rows ? tiled_columns : 0; column < columns; ++column) {
      to[column * to_leading + row] = from.data[row * from.leading + column];
    }
  }
}

/// c [rows, columns] (+)= a [rows, terms] b [terms, columns], by oneDNN's sgemm; a dnnl_status_t.
inline int multiply_in_row_order(std::int64_t rows, std::int64_t columns, std::int64_t terms,
                                 const Rows& a, const Rows& b, bool accumulate, float* c,
                                 std::int64_t c_leading) {
  return dnnl_sgemm('N', 'N', rows, columns, terms, 1.0f, a.data, a.leading, b.data, b.leading,
                    accumulate ? 1.0f : 0.0f, c, c_leading);
}

}  // namespace shardgrad::cpu
