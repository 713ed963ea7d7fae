// Rows of one head as matrices of Eigen, where they lie.
#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "tensor/dtype.h"

namespace shardgrad::cpu {

template <class T>
using RowMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Panel = Eigen::Map<RowMatrix<T>, 0, Eigen::OuterStride<>>;
template <class T>
using ConstPanel = Eigen::Map<const RowMatrix<T>, 0, Eigen::OuterStride<>>;

/// `rows` rows of one head from token `first` on, in a matrix whose rows are `leading` apart.
template <class T>
ConstPanel<T> panel(const T* head, std::int64_t first, std::int64_t rows, std::int64_t head_dim,
                    std::int64_t leading) {
  return {head + first * leading, rows, head_dim, Eigen::OuterStride<>(leading)};
}
template <class T>
Panel<T> panel(T* head, std::int64_t first, std::int64_t rows, std::int64_t head_dim,
               std::int64_t leading) {
  return {head + first * leading, rows, head_dim, Eigen::OuterStride<>(leading)};
}

/// Copies rows of bfloat16, `leading` apart, into float32 rows without gaps.
inline void widen_rows(const BFloat16* from, std::int64_t leading, std::int64_t rows,
                       std::int64_t columns, float* to) {
  for (std::int64_t row = 0; row < rows; ++row, from += leading, to += columns) {
#pragma omp simd
    for (std::int64_t n = 0; n < columns; ++n) to[n] = widen(from[n]);
  }
}

/// The way back, which rounds.
inline void round_rows(const float* from, std::int64_t rows, std::int64_t columns, BFloat16* to,
                       std::int64_t leading) {
  for (std::int64_t row = 0; row < rows; ++row, from += columns, to += leading) {
#pragma omp simd
    for (std::int64_t n = 0; n < columns; ++n) store(to[n], from[n]);
  }
}

}  // namespace shardgrad::cpu
