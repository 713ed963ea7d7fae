// Products of small matrices that lie in the first caches, for kernels that do more with their
// result than to store it: no packing, no edges, no call per product worth mentioning.
#pragma once

#include <cstdint>
#include <cstring>

namespace shardgrad::cpu {

/// Bytes of a vector register, for which the products' tiles are made.
#ifdef __AVX512F__
inline constexpr int kVectorBytes = 64;
#else
inline constexpr int kVectorBytes = 32;
#endif

template <class T>
inline constexpr std::int64_t kVectorLanes = kVectorBytes / static_cast<int>(sizeof(T));

/// A tile of a product: 4 rows of up to this many vectors, which with what they are computed from
/// fill the registers.
inline constexpr std::int64_t kTileRows = 4;
inline constexpr int kTileVectors = kVectorBytes == 64 ? 4 : 2;

inline std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// A [rows, depth] factor of a product, element (row, k) at row * row_step + k * depth_step.
template <class T>
struct LeftFactor {
  const T* data;
  std::int64_t row_step, depth_step;
};

/// c (+)= a b for kTileRows rows and `Vectors` vectors of columns: b [depth, columns] and c with
/// rows `b_leading` and `c_leading` apart.
template <int Vectors, bool Accumulate, class T>
[[gnu::always_inline]] inline void multiply_tile(const LeftFactor<T>& a, const T* b,
                                                 std::int64_t b_leading, std::int64_t depth, T* c,
                                                 std::int64_t c_leading) {
  using Vector [[gnu::vector_size(kVectorBytes)]] = T;
  constexpr std::int64_t kLanesOfVector = kVectorLanes<T>;
  Vector sums[kTileRows][Vectors];
  for (int row = 0; row < kTileRows; ++row) {
    for (int v = 0; v < Vectors; ++v) {
      if (Accumulate) {
        std::memcpy(&sums[row][v], c + row * c_leading + v * kLanesOfVector, sizeof(Vector));
      } else {
        sums[row][v] = Vector{};
      }
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector factors[Vectors];
    for (int v = 0; v < Vectors; ++v) {
      std::memcpy(&factors[v], b + k * b_leading + v * kLanesOfVector, sizeof(Vector));
    }
    for (int row = 0; row < kTileRows; ++row) {
      const T left = a.data[row * a.row_step + k * a.depth_step];
      for (int v = 0; v < Vectors; ++v) sums[row][v] += left * factors[v];
    }
  }
  for (int row = 0; row < kTileRows; ++row) {
    for (int v = 0; v < Vectors; ++v) {
      std::memcpy(c + row * c_leading + v * kLanesOfVector, &sums[row][v], sizeof(Vector));
    }
  }
}

/// c (+)= a b for kTileRows rows: `columns` is a multiple of a vector's.
template <bool Accumulate, class T>
void multiply_rows(const LeftFactor<T>& a, const T* b, std::int64_t b_leading, std::int64_t depth,
                   T* c, std::int64_t c_leading, std::int64_t columns) {
  constexpr std::int64_t kWide = kTileVectors * kVectorLanes<T>;
  std::int64_t column = 0;
  for (; column + kWide <= columns; column += kWide) {
    multiply_tile<kTileVectors, Accumulate>(a, b + column, b_leading, depth, c + column, c_leading);
  }
  for (; column < columns; column += kVectorLanes<T>) {
    multiply_tile<1, Accumulate>(a, b + column, b_leading, depth, c + column, c_leading);
  }
}

}  // namespace shardgrad::cpu
