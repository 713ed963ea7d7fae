// Sums and maxima whose order is fixed by the element count alone: not by the vector width of the
// machine, the alignment of the data, or the number of threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace shardgrad::cpu {

/// How many partial results run side by side: enough independent operations to hide their latency.
inline constexpr int kLanes = 32;

/// Combines `Width` numbers into the first: the second half with the first, and again. The compiler
/// knows each width, so each step is one instruction or two.
template <int Width, class T, class Combine>
[[gnu::always_inline]] inline void fold_lanes(T* lanes, const Combine& combine) {
  if constexpr (Width > 1) {
    constexpr int kHalf = Width / 2;
#pragma omp simd
    for (int lane = 0; lane < kHalf; ++lane) {
      lanes[lane] = combine(lanes[lane], lanes[lane + kHalf]);
    }
    fold_lanes<kHalf>(lanes, combine);
  }
}

/// The sum of the lanes, in float64.
template <class T>
[[gnu::always_inline]] inline double sum_of_lanes(const T* lanes) {
  double totals[kLanes];
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) totals[lane] = static_cast<double>(lanes[lane]);
  fold_lanes<kLanes>(totals, [](double a, double b) { return a + b; });
  return totals[0];
}

/// The sum of term(i) for i in [begin, end). Lane l adds the terms begin + l, begin + l + kLanes,
/// ... in order and in the arithmetic of T; the lanes are then added in float64. Before each kLanes
/// terms fetch_ahead(i) is called with the first of them.
template <class T, class Term, class FetchAhead>
[[gnu::always_inline]] inline double lane_sum(std::int64_t begin, std::int64_t end,
                                              const Term& term, const FetchAhead& fetch_ahead) {
  T lanes[kLanes] = {};
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    fetch_ahead(i);
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  const int rest = static_cast<int>(end - i);
#pragma omp simd
  for (int lane = 0; lane < rest; ++lane) lanes[lane] += term(i + lane);
  return sum_of_lanes(lanes);
}

template <class T, class Term>
[[gnu::always_inline]] inline double lane_sum(std::int64_t begin, std::int64_t end,
                                              const Term& term) {
  return lane_sum<T>(begin, end, term, [](std::int64_t) {});
}

/// lane_sum of both elements of terms(i), which is a std::array<T, 2>.
template <class T, class Terms>
[[gnu::always_inline]] inline std::array<double, 2> lane_sums(std::int64_t begin, std::int64_t end,
                                                              const Terms& terms) {
  T first[kLanes] = {}, second[kLanes] = {};
  const auto add = [&](std::int64_t i, int lane) {
    const std::array<T, 2> both = terms(i + lane);
    first[lane] += both[0];
    second[lane] += both[1];
  };
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) add(i, lane);
  }
  const int rest = static_cast<int>(end - i);
#pragma omp simd
  for (int lane = 0; lane < rest; ++lane) add(i, lane);
  return {sum_of_lanes(first), sum_of_lanes(second)};
}

/// Terms that long_sum adds before it goes on in float64.
inline constexpr std::int64_t kStretch = 1024;

/// lane_sum over stretches of at most 1024 terms, which are then added in float64: with T = float
/// no partial sum has more than 32 terms, so the result is good to a few units in the last place of
/// a float at any length.
template <class T, class Term>
[[gnu::always_inline]] inline double long_sum(std::int64_t count, const Term& term) {
  double total = 0.0;
  for (std::int64_t begin = 0; begin < count; begin += kStretch) {
    total += lane_sum<T>(begin, std::min(begin + kStretch, count), term);
  }
  return total;
}

/// long_sum of both elements of terms(i), which is a std::array<T, 2>.
template <class T, class Terms>
[[gnu::always_inline]] inline std::array<double, 2> long_sums(std::int64_t count,
                                                              const Terms& terms) {
  std::array<double, 2> totals{};
  for (std::int64_t begin = 0; begin < count; begin += kStretch) {
    const auto [first, second] = lane_sums<T>(begin, std::min(begin + kStretch, count), terms);
    totals[0] += first;
    totals[1] += second;
  }
  return totals;
}

/// The larger of two numbers; NaN when either is.
template <class T>
[[gnu::always_inline]] inline T max_or_nan(T a, T b) {
  return (b > a) | (b != b) ? b : a;
}

/// The largest of `lowest` and term(i) for i in [begin, end); NaN when any term is.
template <class T, class Term>
[[gnu::always_inline]] inline T lane_max(std::int64_t begin, std::int64_t end, T lowest,
                                         const Term& term) {
  T lanes[kLanes];
  std::fill(lanes, lanes + kLanes, lowest);
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = max_or_nan(lanes[lane], static_cast<T>(term(i + lane)));
    }
  }
  const int rest = static_cast<int>(end - i);
#pragma omp simd
  for (int lane = 0; lane < rest; ++lane) {
    lanes[lane] = max_or_nan(lanes[lane], static_cast<T>(term(i + lane)));
  }
  fold_lanes<kLanes>(lanes, [](T a, T b) { return max_or_nan(a, b); });
  return lanes[0];
}

}  // namespace shardgrad::cpu
