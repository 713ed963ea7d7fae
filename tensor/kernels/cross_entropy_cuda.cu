#include "tensor/cuda/elements.cuh"
#include "tensor/cuda/rows.cuh"
#include "tensor/kernels/cross_entropy.h"

namespace shardgrad::cuda {
namespace {

// A block for each row: a vocabulary has enough columns for all of its threads.
constexpr int kRowThreads = 512;

// The column of the slice that holds `label`, or -1 when another slice holds it or none should.
__device__ inline std::int64_t local_column(std::int64_t label, std::int64_t ignore_index,
                                            const VocabularySlice& slice) {
  const std::int64_t column = label - slice.first_column;
  return label != ignore_index && column >= 0 && column < slice.columns ? column : -1;
}

template <class T>
__global__ void row_max_kernel(const T* logits, std::int64_t stride, std::int64_t columns,
                               Accumulator<T>* row_max) {
  using A = Accumulator<T>;
  __shared__ A scratch[32];
  A largest = -static_cast<A>(INFINITY);
  for_each_of_row(logits + blockIdx.x * stride, columns, threadIdx.x, blockDim.x,
                  [&](std::int64_t, A value) { largest = max_or_nan(largest, value); });
  largest = block_max(largest, scratch);
  if (threadIdx.x == 0) row_max[blockIdx.x] = largest;
}

template <class T>
__global__ void sum_exp_kernel(const T* logits, std::int64_t stride, const std::int32_t* labels,
                               VocabularySlice slice, TargetDistribution target,
                               const Accumulator<T>* row_max, Accumulator<T>* sum_exp,
                               Accumulator<T>* target_logit) {
  using A = Accumulator<T>;
  __shared__ double scratch[32];
  const std::int64_t m = blockIdx.x;
  const T* const row = logits + m * stride;
  const A shift = row_max[m];
  // Few terms for each thread, all of one sign: their sum in A is good, that of all is in double.
  A own = 0;
  double own_logits = 0.0;
  for_each_of_row(row, slice.columns, threadIdx.x, blockDim.x, [&](std::int64_t, A value) {
    own += exp(value - shift);
    if (target.everywhere != 0.0) own_logits += static_cast<double>(value - shift);
  });
  const double sum = block_sum(static_cast<double>(own), scratch);
  const double all = target.everywhere != 0.0 ? block_sum(own_logits, scratch) : 0.0;
  if (threadIdx.x == 0) {
    const std::int64_t column = local_column(labels[m], target.ignore_index, slice);
    sum_exp[m] = static_cast<A>(sum);
    const A of_label =
        column >= 0 ? static_cast<A>(target.at_label) * (widen(row[column]) - shift) : A(0);
    const bool ignored = labels[m] == target.ignore_index;
    target_logit[m] = ignored ? A(0) : static_cast<A>(of_label + target.everywhere * all);
  }
}

template <class T>
__global__ void softmax_minus_target_kernel(T* logits, std::int64_t stride,
                                            const std::int32_t* labels, VocabularySlice slice,
                                            TargetDistribution target,
                                            const Accumulator<T>* row_max,
                                            const Accumulator<T>* sum_exp, const double* factor) {
  using A = Accumulator<T>;
  const std::int64_t m = blockIdx.x;
  const bool ignored = labels[m] == target.ignore_index;
  const std::int64_t column = local_column(labels[m], target.ignore_index, slice);
  const A shift = row_max[m];
  const A at_label = static_cast<A>(*factor * target.at_label);
  const A everywhere = static_cast<A>(*factor * target.everywhere);
  const A scale = static_cast<A>(*factor / static_cast<double>(sum_exp[m]));
  replace_row(logits + m * stride, stride, threadIdx.x, blockDim.x, [&](std::int64_t n, A value) {
    if (ignored || n >= slice.columns) return A(0);
    const A gradient = scale * exp(value - shift) - everywhere;
    return n == column ? gradient - at_label : gradient;
  });
}

template <class A>
__global__ void negative_log_likelihood_kernel(std::int64_t rows, const A* sum_exp,
                                               const A* target_logit, const std::int32_t* labels,
                                               std::int64_t ignore_index, double normalizer,
                                               double* loss, double* scale) {
  __shared__ double scratch[32];
  double total = 0.0, count = 0.0;
  for (std::int64_t m = threadIdx.x; m < rows; m += blockDim.x) {
    if (labels[m] == ignore_index) continue;
    total += log(static_cast<double>(sum_exp[m])) - static_cast<double>(target_logit[m]);
    count += 1.0;
  }
  total = block_sum(total, scratch);
  count = block_sum(count, scratch);
  if (threadIdx.x == 0) {
    const double divisor = normalizer > 0.0 ? normalizer : count;
    const double inverse = divisor > 0.0 ? 1.0 / divisor : 0.0;
    *loss = inverse * total;
    *scale = inverse;
  }
}

unsigned rows_of(const Tensor& logits) { return static_cast<unsigned>(logits.size(0)); }

}  // namespace

void row_max(const Tensor& logits, const VocabularySlice& slice, Tensor& row_max) {
  dispatch_element(logits.dtype(), "row_max", [&](auto type) {
    using T = decltype(type);
    launch("row_max", rows_of(logits), kRowThreads, 0, row_max_kernel<T>, device_data<T>(logits),
           logits.size(1), slice.columns, device_data<Accumulator<T>>(row_max));
  });
}

void sum_exp_and_target(const Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                        const TargetDistribution& target, const Tensor& row_max, Tensor& sum_exp,
                        Tensor& target_logit) {
  dispatch_element(logits.dtype(), "sum_exp_and_target", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    launch("sum_exp_and_target", rows_of(logits), kRowThreads, 0, sum_exp_kernel<T>,
           device_data<T>(logits), logits.size(1), device_data<std::int32_t>(labels), slice, target,
           device_data<A>(row_max), device_data<A>(sum_exp), device_data<A>(target_logit));
  });
}

void softmax_minus_target(Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                          const TargetDistribution& target, const Tensor& row_max,
                          const Tensor& sum_exp, const Tensor& factor) {
  dispatch_element(logits.dtype(), "softmax_minus_target", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    launch("softmax_minus_target", rows_of(logits), kRowThreads, 0, softmax_minus_target_kernel<T>,
           device_data<T>(logits), logits.size(1), device_data<std::int32_t>(labels), slice, target,
           device_data<A>(row_max), device_data<A>(sum_exp), device_data<double>(factor));
  });
}

void negative_log_likelihood(const Tensor& sum_exp, const Tensor& target_logit,
                             const Tensor& labels, std::int64_t ignore_index, double normalizer,
                             Tensor& loss, Tensor& scale) {
  dispatch_element(sum_exp.dtype(), "negative_log_likelihood", [&](auto type) {
    using A = Accumulator<decltype(type)>;  // the sums are float or double
    launch("negative_log_likelihood", 1, 1024, 0, negative_log_likelihood_kernel<A>,
           sum_exp.numel(), device_data<A>(sum_exp), device_data<A>(target_logit),
           device_data<std::int32_t>(labels), ignore_index, normalizer, device_data<double>(loss),
           device_data<double>(scale));
  });
}

}  // namespace shardgrad::cuda
