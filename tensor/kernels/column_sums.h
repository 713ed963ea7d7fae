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

/// One sum over rows: out[n] = sum over m of term(m, n), plus what out[n] held when `accumulate`.
template <class Out, class Term>
struct ColumnSum {
  Term term;
  Out* out;
  bool accumulate;
};

/// Computes every sum in one pass over the rows; the terms are of type A. The order of additions in
/// a column depends only on the number of rows, so neither the threads nor a split of the columns
/// changes a bit.
template <class A, class Out, class... Terms>
void sum_columns(std::int64_t rows, std::int64_t columns, const ColumnSum<Out, Terms>&... sums) {
  // Columns of one tile: long enough for the memory to stream, short enough for the totals to stay
  // in the first-level cache.
  constexpr std::int64_t kTile = 512;
  // Rows whose terms are added in A before they enter the float64 totals.
  constexpr std::int64_t kGroup = 4;
  const auto add_group = [](double* totals, const auto& sum, std::int64_t row, std::int64_t first,
                            std::int64_t width) {
#pragma omp simd
    for (std::int64_t n = 0; n < width; ++n) {
      const A low = sum.term(row, first + n) + sum.term(row + 1, first + n);
      const A high = sum.term(row + 2, first + n) + sum.term(row + 3, first + n);
      totals[n] += static_cast<double>(low + high);
    }
  };
  const auto add_row = [](double* totals, const auto& sum, std::int64_t row, std::int64_t first,
                          std::int64_t width) {
#pragma omp simd
    for (std::int64_t n = 0; n < width; ++n) {
      totals[n] += static_cast<double>(sum.term(row, first + n));
    }
  };
  const auto store = [](const double* totals, const auto& sum, std::int64_t first,
                        std::int64_t width) {
    for (std::int64_t n = 0; n < width; ++n) {
      Out& out = sum.out[first + n];
      out = static_cast<Out>(sum.accumulate ? static_cast<double>(out) + totals[n] : totals[n]);
    }
  };
  parallel_columns(rows, columns, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kTile) {
      const std::int64_t width = std::min(kTile, end - first);
      alignas(64) double totals[sizeof...(sums)][kTile] = {};
      std::int64_t row = 0;
      for (; row + kGroup <= rows; row += kGroup) {
        std::size_t index = 0;
        (add_group(totals[index++], sums, row, first, width), ...);
      }
      for (; row < rows; ++row) {
        std::size_t index = 0;
        (add_row(totals[index++], sums, row, first, width), ...);
      }
      std::size_t index = 0;
      (store(totals[index++], sums, first, width), ...);
    }
  });
}

}  // namespace shardgrad::cpu
