// Products of small matrices that lie in the first caches, for kernels that do more with their
// result than to store it: no packing, no edges, no call per product worth mentioning.
#pragma once

#include <cstdint>
#include <type_traits>

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

/// A vector register's worth of T.
template <class T>
using Vector [[gnu::vector_size(kVectorBytes)]] = T;

/// The same wherever elements lie. A memcpy of a vector would do, too, but where GCC tunes for a
/// processor whose copies it makes by halves, as for Intel's since Skylake, it then keeps the
/// vector in memory: each multiply-add loads and stores its sum.
template <class T>
using VectorOfElements
    [[gnu::vector_size(kVectorBytes), gnu::aligned(alignof(T)), gnu::may_alias]] = T;

static_assert(alignof(VectorOfElements<float>) == alignof(float));

template <class T>
[[gnu::always_inline]] inline Vector<T> load_vector(const T* from) {
  return *reinterpret_cast<const VectorOfElements<T>*>(from);
}

template <class T, class V>
[[gnu::always_inline]] inline void store_vector(const V& vector, T* to) {
  *reinterpret_cast<VectorOfElements<T>*>(to) = vector;
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
  constexpr std::int64_t kLanesOfVector = kVectorLanes<T>;
  Vector<T> sums[kTileRows][Vectors];
  for (int row = 0; row < kTileRows; ++row) {
    for (int v = 0; v < Vectors; ++v) {
      if (Accumulate) {
        sums[row][v] = load_vector(c + row * c_leading + v * kLanesOfVector);
      } else {
        sums[row][v] = Vector<T>{};
      }
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector<T> factors[Vectors];
    for (int v = 0; v < Vectors; ++v) {
      factors[v] = load_vector(b + k * b_leading + v * kLanesOfVector);
    }
    for (int row = 0; row < kTileRows; ++row) {
      const T left = a.data[row * a.row_step + k * a.depth_step];
      for (int v = 0; v < Vectors; ++v) sums[row][v] += left * factors[v];
    }
  }
  for (int row = 0; row < kTileRows; ++row) {
    for (int v = 0; v < Vectors; ++v) {
      store_vector(sums[row][v], c + row * c_leading + v * kLanesOfVector);
    }
  }
}

/// multiply_tile() of `vectors` <= Vectors vectors, each width compiled for itself: its sums stay
/// in registers, and there are more of them to add to at once than in as many tiles of one vector.
template <int Vectors, bool Accumulate, class T>
void multiply_narrow_tile(int vectors, const LeftFactor<T>& a, const T* b, std::int64_t b_leading,
                          std::int64_t depth, T* c, std::int64_t c_leading) {
  if (vectors == Vectors) {
    multiply_tile<Vectors, Accumulate>(a, b, b_leading, depth, c, c_leading);
  } else if constexpr (Vectors > 1) {
    multiply_narrow_tile<Vectors - 1, Accumulate>(vectors, a, b, b_leading, depth, c, c_leading);
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
  const int rest = static_cast<int>((columns - column) / kVectorLanes<T>);
  multiply_narrow_tile<kTileVectors - 1, Accumulate>(rest, a, b + column, b_leading, depth,
                                                     c + column, c_leading);
}

namespace detail {

/// Step after step, rows and lanes whose numbers differ in one bit change places.
template <int Step, class T, class Index>
[[gnu::always_inline]] inline void exchange_lanes(Vector<T>* rows) {
  constexpr int kCount = static_cast<int>(kVectorLanes<T>);
  if constexpr (Step < kCount) {
    Index low, high;
    for (int lane = 0; lane < kCount; ++lane) {
      low[lane] = (lane & Step) != 0 ? kCount + lane - Step : lane;
      high[lane] = (lane & Step) != 0 ? kCount + lane : lane + Step;
    }
    for (int row = 0; row < kCount; ++row) {
      if ((row & Step) != 0) continue;
      const Vector<T> above = rows[row], below = rows[row + Step];
      rows[row] = __builtin_shuffle(above, below, low);
      rows[row + Step] = __builtin_shuffle(above, below, high);
    }
    exchange_lanes<2 * Step, T, Index>(rows);
  }
}

}  // namespace detail

/// to = the transpose of `from`, both of kVectorLanes rows and columns: within registers, by as
/// many exchanges as a lane's number has bits.
/// Source: Eklundh, "A Fast Computer Method for Matrix Transposing", IEEE Trans. Computers, 1972.
template <class T>
void transpose_tile(const T* from, std::int64_t from_leading, T* to, std::int64_t to_leading) {
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  using Index [[gnu::vector_size(kVectorBytes)]] = Integer;
  constexpr int kCount = static_cast<int>(kVectorLanes<T>);
  Vector<T> rows[kCount];
  for (int row = 0; row < kCount; ++row) rows[row] = load_vector(from + row * from_leading);
  detail::exchange_lanes<1, T, Index>(rows);
  for (int row = 0; row < kCount; ++row) store_vector(rows[row], to + row * to_leading);
}

}  // namespace shardgrad::cpu
