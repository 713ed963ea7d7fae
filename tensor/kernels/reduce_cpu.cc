#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/reduce.h"
#include "tensor/parallel_for.h"
#include "tensor/round_up.h"

namespace shardgrad::cpu {
namespace {

constexpr std::int64_t kMaxChunks = 1024;
constexpr std::int64_t kMinChunk = 16384;

// partial_result(begin, end) for each chunk of [0, count), in parallel, then combine() over the
// chunks in order. The cut depends on `count` only, so the result does not depend on the number of
// threads.
template <class PartialResult, class Combine>
double reduce_chunks(std::int64_t count, const PartialResult& partial_result,
                     const Combine& combine) {
  const std::int64_t chunk = std::max(kMinChunk, parts_of(count, kMaxChunks));
  const std::int64_t chunks = parts_of(count, chunk);
  std::array<double, kMaxChunks> partial;
  parallel_for(chunks, 2, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      partial[index] = partial_result(index * chunk, std::min((index + 1) * chunk, count));
    }
  });
  double result = 0.0;
  for (std::int64_t index = 0; index < chunks; ++index) result = combine(result, partial[index]);
  return result;
}

double plus(double a, double b) { return a + b; }

}  // namespace

void sum(const Tensor& x, Tensor& out) {
  dispatch_floating(x.dtype(), "sum", [&](auto type) {
    using T = decltype(type);
    const T* const data = x.data<T>();
    const auto term = [=](std::int64_t i) { return static_cast<double>(data[i]); };
    *out.data<double>() = reduce_chunks(
        x.numel(),
        [&](std::int64_t begin, std::int64_t end) { return lane_sum<double>(begin, end, term); },
        plus);
  });
}

void sum_of_squares(const Tensor& x, Tensor& out) {
  dispatch_floating(x.dtype(), "sum_of_squares", [&](auto type) {
    using T = decltype(type);
    const T* const data = x.data<T>();
    const auto term = [=](std::int64_t i) {
      const double value = static_cast<double>(data[i]);
      return value * value;
    };
    // The gradients come from memory, and the processor does not fetch ahead across pages by
    // itself.
    constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T)), kAhead = 64 * kLine;
    // Not inlined at once, a function that only fetches is taken for one without effect.
    const auto fetch_ahead = [=](std::int64_t i) __attribute__((always_inline)) {
      // Into the second cache, since the first waits for few lines at a time.
      for (std::int64_t n = 0; n < kLanes; n += kLine) {
        __builtin_prefetch(data + i + kAhead + n, 0, 2);
      }
    };
    *out.data<double>() = reduce_chunks(
        x.numel(),
        [&](std::int64_t begin, std::int64_t end) {
          return lane_sum<double>(begin, end, term, fetch_ahead);
        },
        plus);
  });
}

void max_abs_difference(const Tensor& a, const Tensor& b, Tensor& out) {
  dispatch_floating(a.dtype(), "max_abs_difference", [&](auto type) {
    using T = decltype(type);
    const T* const left = a.data<T>();
    const T* const right = b.data<T>();
    const auto term = [=](std::int64_t i) {
      return std::fabs(static_cast<double>(left[i]) - static_cast<double>(right[i]));
    };
    *out.data<double>() = reduce_chunks(
        a.numel(),
        [&](std::int64_t begin, std::int64_t end) { return lane_max(begin, end, 0.0, term); },
        max_or_nan<double>);
  });
}

}  // namespace shardgrad::cpu
