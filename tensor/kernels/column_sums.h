// Sums over the rows of a matrix: bias gradients, layer norm's parameter gradients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"
#include "tensor/kernels/element_loops.h"

namespace shardgrad::cpu {

/// Calls `body(Out{})` with what sums of T elements are stored as: T when `dtype` is T's, else
/// Accumulator<T>, which the caller has seen to.
template <class T, class Body>
void dispatch_sum(DType dtype, const Body& body) {
  if constexpr (!std::is_same_v<T, Accumulator<T>>) {
    if (dtype == DTypeOf<T>::value) {
      body(T{});
      return;
    }
  }
  body(Accumulator<T>{});
}

/// Rows whose terms are added in the terms' type before they enter the float64 totals.
inline constexpr std::int64_t kRowsOfGroup = 4;

/// totals[n] += term(row, first + n) for n in [0, width) and `rows` rows from `row` on:
/// kRowsOfGroup or fewer. The terms are of type A.
template <class A, class Term>
void add_group(double* totals, const Term& term, std::int64_t row, std::int64_t rows,
               std::int64_t first, std::int64_t width) {
  if (rows == kRowsOfGroup) {
#pragma omp simd
    for (std::int64_t n = 0; n < width; ++n) {
      const A low = term(row, first + n) + term(row + 1, first + n);
      const A high = term(row + 2, first + n) + term(row + 3, first + n);
      totals[n] += static_cast<double>(low + high);
    }
    return;
  }
  for (std::int64_t end = row + rows; row < end; ++row) {
#pragma omp simd
    for (std::int64_t n = 0; n < width; ++n) totals[n] += static_cast<double>(term(row, first + n));
  }
}

/// out = total, plus what out held when `accumulate`.
template <class Out>
void store_sum(double total, bool accumulate, Out& out) {
  out = static_cast<Out>(accumulate ? static_cast<double>(out) + total : total);
}

/// out[n] = sum over m of term(m, n), plus what out[n] held when `accumulate`; the terms are of
/// type A. The order of additions in a column depends only on the number of rows, so neither the
/// threads nor a split of the columns changes a bit.
template <class A, class Out, class Term>
void sum_columns(std::int64_t rows, std::int64_t columns, const Term& term, Out* out,
                 bool accumulate) {
  // Columns of one tile: long enough for the memory to stream, short enough for the totals to stay
  // in the first-level cache.
  constexpr std::int64_t kTile = 512;
  parallel_columns(rows, columns, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kTile) {
      const std::int64_t width = std::min(kTile, end - first);
      alignas(64) double totals[kTile] = {};
      for (std::int64_t row = 0; row < rows; row += kRowsOfGroup) {
        add_group<A>(totals, term, row, std::min(kRowsOfGroup, rows - row), first, width);
      }
      for (std::int64_t n = 0; n < width; ++n) store_sum(totals[n], accumulate, out[first + n]);
    }
  });
}

}  // namespace shardgrad::cpu
