// Sums over the rows of a matrix: bias gradients, layer norm's parameter gradients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/round_up.h"
#include "tensor/tensor.h"

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

/// Columns that are summed at a time: enough for the memory to stream, few enough for the totals to
/// stay in the first-level cache.
inline constexpr std::int64_t kColumnsOfTile = 512;

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

/// out[n] = sum over `blocks` rows of partial[n], `leading` apart, plus what out[n] held when
/// `accumulate`.
template <class Out>
void sum_partials(const double* partial, std::int64_t blocks, std::int64_t columns,
                  std::int64_t leading, Out* out, bool accumulate) {
  parallel_columns(blocks, columns, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kColumnsOfTile) {
      const std::int64_t width = std::min(kColumnsOfTile, end - first);
      alignas(64) double totals[kColumnsOfTile] = {};
      for (std::int64_t block = 0; block < blocks; ++block) {
        const double* const terms = partial + block * leading + first;
#pragma omp simd
        for (std::int64_t n = 0; n < width; ++n) totals[n] += terms[n];
      }
      for (std::int64_t n = 0; n < width; ++n) store_sum(totals[n], accumulate, out[first + n]);
    }
  });
}

/// Fetches the parts [first, first + width) of kRowsOfGroup rows of a matrix.
template <class T>
[[gnu::always_inline]] inline void fetch_group(const T* matrix, std::int64_t columns,
                                               std::int64_t row, std::int64_t first,
                                               std::int64_t width) {
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t end = row + kRowsOfGroup; row < end; ++row) {
    const T* const part = matrix + row * columns + first;
    for (std::int64_t n = 0; n < width; n += kLine) __builtin_prefetch(part + n);
  }
}

/// totals[n] = sum of term(row, first + n) for n in [0, width) over the rows [begin, end).
template <class A, class Term, class FetchAhead>
void sum_block(double* totals, const Term& term, const FetchAhead& fetch_ahead, std::int64_t begin,
               std::int64_t end, std::int64_t first, std::int64_t width) {
  std::fill(totals, totals + width, 0.0);
  for (std::int64_t row = begin; row < end; row += kRowsOfGroup) {
    fetch_ahead(row + kRowsOfGroup, first, width);
    add_group<A>(totals, term, row, std::min(kRowsOfGroup, end - row), first, width);
  }
}

/// out[n] = sum over m of term(m, n), plus what out[n] held when `accumulate`; the terms are of
/// type A. fetch_ahead(row, first, width) is called ahead of the loop for kRowsOfGroup rows, which
/// may lie beyond the last, since the processor does not fetch ahead across pages by itself; it
/// must be inlined always. Sums over blocks of rows come first, then those over the blocks, so the
/// order of additions in a column depends only on the number of rows: neither the threads nor a
/// split of the columns changes a bit.
template <class A, class Out, class Term, class FetchAhead>
void sum_columns(std::int64_t rows, std::int64_t columns, const Term& term,
                 const FetchAhead& fetch_ahead, Out* out, bool accumulate) {
  constexpr std::int64_t kBlock = 128;
  const std::int64_t blocks = std::max<std::int64_t>(parts_of(rows, kBlock), 1);
  const std::int64_t tiles = parts_of(columns, kColumnsOfTile);
  Tensor partial_sums = Tensor::empty({blocks, columns}, DType::Float64);
  double* const partial = partial_sums.data<double>();
  parallel_rows(blocks * tiles, kBlock * kColumnsOfTile, [&](std::int64_t index) {
    const std::int64_t block = index / tiles, first = index % tiles * kColumnsOfTile;
    sum_block<A>(partial + block * columns + first, term, fetch_ahead, block * kBlock,
                 std::min((block + 1) * kBlock, rows), first,
                 std::min(kColumnsOfTile, columns - first));
  });
  sum_partials(partial, blocks, columns, columns, out, accumulate);
}

}  // namespace shardgrad::cpu
