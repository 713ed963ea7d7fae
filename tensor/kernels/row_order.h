// Parts of float32 matrices, brought into row order.
#pragma once

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

}  // namespace shardgrad::cpu
