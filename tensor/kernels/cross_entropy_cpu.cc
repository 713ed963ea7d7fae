#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/kernels/cross_entropy.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/lane_reduce.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {
namespace {

// The upper end of the labels is the whole vocabulary's, which only the caller knows.
void check_labels(const char* where, const Tensor& labels, std::int64_t rows,
                  std::int64_t ignore_index) {
  const std::int32_t* const label = labels.data<std::int32_t>();
  for (std::int64_t m = 0; m < rows; ++m) {
    require(label[m] >= 0 || label[m] == ignore_index, where,
            "label {} at position {} is negative; expected a token id or ignore_index {}", label[m],
            m, ignore_index);
  }
}

// The column of the slice that holds `label`, or -1 when another slice holds it or none should.
std::int64_t local_column(std::int64_t label, std::int64_t ignore_index,
                          const VocabularySlice& slice) {
  const std::int64_t column = label - slice.first_column;
  return label != ignore_index && column >= 0 && column < slice.columns ? column : -1;
}

// scale * exp(x), rounded before anything is subtracted from it. Out of line, or the compiler would
// fuse the two.
template <class A>
[[gnu::noinline]] A scaled_exp(A x, A scale) {
  return scale * exp_or_zero(x);
}

}  // namespace

void row_max(const Tensor& logits, const VocabularySlice& slice, Tensor& row_max) {
  const std::int64_t rows = logits.size(0);
  const std::int64_t stride = logits.size(1);
  dispatch_floating(logits.dtype(), "row_max", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const data = logits.data<T>();
    A* const result = row_max.data<A>();
    parallel_rows(rows, slice.columns, [=](std::int64_t m) {
      const T* const row = data + m * stride;
      result[m] = lane_max(0, slice.columns, -std::numeric_limits<A>::infinity(),
                           [=](std::int64_t n) { return widen(row[n]); });
    });
  });
}

void sum_exp_and_target(const Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                        const TargetDistribution& target, const Tensor& row_max, Tensor& sum_exp,
                        Tensor& target_logit) {
  constexpr const char* kName = "sum_exp_and_target";
  const std::int64_t rows = logits.size(0);
  const std::int64_t stride = logits.size(1);
  check_labels(kName, labels, rows, target.ignore_index);
  dispatch_floating(logits.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const data = logits.data<T>();
    const std::int32_t* const label = labels.data<std::int32_t>();
    const A* const largest = row_max.data<A>();
    A* const sums = sum_exp.data<A>();
    A* const targets = target_logit.data<A>();
    const A at_label = static_cast<A>(target.at_label);
    parallel_rows(rows, slice.columns, [=](std::int64_t m) {
      const T* const row = data + m * stride;
      const A shift = largest[m];
      sums[m] = static_cast<A>(long_sum<A>(
          slice.columns, [=](std::int64_t n) { return exp_or_zero(widen(row[n]) - shift); }));
      const std::int64_t column = local_column(label[m], target.ignore_index, slice);
      targets[m] = column >= 0 ? at_label * (widen(row[column]) - shift) : A(0);
      if (target.everywhere == 0.0 || label[m] == target.ignore_index) return;
      const double all =
          long_sum<A>(slice.columns, [=](std::int64_t n) { return widen(row[n]) - shift; });
      targets[m] = static_cast<A>(targets[m] + target.everywhere * all);
    });
  });
}

void softmax_minus_target(Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                          const TargetDistribution& target, const Tensor& row_max,
                          const Tensor& sum_exp, const Tensor& factor) {
  constexpr const char* kName = "softmax_minus_target";
  const std::int64_t rows = logits.size(0);
  const std::int64_t stride = logits.size(1);
  check_labels(kName, labels, rows, target.ignore_index);
  const double times = *factor.data<double>();
  dispatch_floating(logits.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    T* const data = logits.data<T>();
    const std::int32_t* const label = labels.data<std::int32_t>();
    const A* const largest = row_max.data<A>();
    const A* const sums = sum_exp.data<A>();
    const A everywhere = static_cast<A>(times * target.everywhere);
    const A at_label = static_cast<A>(times * target.at_label);
    parallel_rows(rows, stride, [=](std::int64_t m) {
      T* const row = data + m * stride;
      if (label[m] == target.ignore_index) {
        std::fill_n(row, stride, T(0.0f));
        return;
      }
      const A shift = largest[m];
      const A scale = static_cast<A>(times / static_cast<double>(sums[m]));
      const std::int64_t column = local_column(label[m], target.ignore_index, slice);
      const A of_label = column >= 0 ? scaled_exp(widen(row[column]) - shift, scale) : A(0);
#pragma omp simd
      for (std::int64_t n = 0; n < slice.columns; ++n) {
        store(row[n], scale * exp_or_zero(widen(row[n]) - shift) - everywhere);
      }
      std::fill(row + slice.columns, row + stride, T(0.0f));
      if (column >= 0) store(row[column], of_label - everywhere - at_label);
    });
  });
}

void negative_log_likelihood(const Tensor& sum_exp, const Tensor& target_logit,
                             const Tensor& labels, std::int64_t ignore_index, double normalizer,
                             Tensor& loss, Tensor& scale) {
  constexpr const char* kName = "negative_log_likelihood";
  const std::int64_t rows = sum_exp.numel();
  dispatch_accumulator(sum_exp.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    const T* const sums = sum_exp.data<T>();
    const T* const targets = target_logit.data<T>();
    const std::int32_t* const label = labels.data<std::int32_t>();
    double total = 0.0;
    std::int64_t count = 0;
    for (std::int64_t m = 0; m < rows; ++m) {
      if (label[m] == ignore_index) continue;
      total += std::log(static_cast<double>(sums[m])) - static_cast<double>(targets[m]);
      ++count;
    }
    const double divisor = normalizer > 0.0 ? normalizer : static_cast<double>(count);
    const double inverse = divisor > 0.0 ? 1.0 / divisor : 0.0;
    *loss.data<double>() = inverse * total;
    *scale.data<double>() = inverse;
  });
}

}  // namespace shardgrad::cpu
