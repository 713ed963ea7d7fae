// Softmax cross-entropy over a vocabulary of which this rank may hold only a slice of the columns.
// The three kernels are the three phases between which the ranks reduce (max, then sums):
// Megatron-LM's vocab-parallel cross-entropy (Shoeybi et al., arXiv:1909.08053, section 3).
// With the whole vocabulary in one slice nothing needs reducing and the phases run back to back.
//
// logits [M, V_local] contiguous; labels int32 [M]; per-row tensors [M] of the accumulation dtype.
// `columns` <= V_local is how many of the slice's columns are real: padding columns never count.
// first_column is the global index of the slice's first column.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {

/// Which columns of the global vocabulary a logits slice holds.
struct VocabularySlice {
  std::int64_t first_column = 0;  ///< global index of column 0
  std::int64_t columns = 0;       ///< real (unpadded) columns, from column 0
};

/// What the softmax of a row is compared with: `at_label` at its label, and `everywhere` at each
/// column of the vocabulary. With smoothing e over V columns these are 1 - e and e / V (Szegedy et
/// al., arXiv:1512.00567, section 7). They add up to one.
struct TargetDistribution {
  std::int64_t ignore_index = -100;  ///< rows with this label count for nothing
  double at_label = 1.0;
  double everywhere = 0.0;
};

namespace cpu {

/// row_max[m] = the largest real logit of row m; -infinity when the slice has no real column.
void row_max(const Tensor& logits, const VocabularySlice& slice, Tensor& row_max);

/// sum_exp[m] = sum over the real columns of exp(logit - row_max[m]), accumulated in float64;
/// target_logit[m] = sum over the real columns of their probability in `target` times (logit -
/// row_max[m]): with no smoothing, that of labels[m] if the slice holds that column, else 0 (always
/// 0 where labels[m] is the ignore_index). row_max is the global maximum.
void sum_exp_and_target(const Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                        const TargetDistribution& target, const Tensor& row_max, Tensor& sum_exp,
                        Tensor& target_logit);

/// In place: logits[m, v] = factor * (softmax(logits)[m, v] - probability of v in `target`), and 0
/// in padding columns and in rows whose label is the ignore_index. row_max and sum_exp are global;
/// factor is one float64 element.
void softmax_minus_target(Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                          const TargetDistribution& target, const Tensor& row_max,
                          const Tensor& sum_exp, const Tensor& factor);

/// loss = scale * sum over rows with labels[m] != ignore_index of (log(sum_exp[m]) -
/// target_logit[m]); both inputs are global. scale = 1 / normalizer or, when normalizer is 0, one
/// over the number of such rows (0 when there is none). Both outputs are one float64 element.
void negative_log_likelihood(const Tensor& sum_exp, const Tensor& target_logit,
                             const Tensor& labels, std::int64_t ignore_index, double normalizer,
                             Tensor& loss, Tensor& scale);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::row_max) row_max;
decltype(cpu::sum_exp_and_target) sum_exp_and_target;
decltype(cpu::softmax_minus_target) softmax_minus_target;
decltype(cpu::negative_log_likelihood) negative_log_likelihood;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::row_max) row_max;
[[gnu::weak]] decltype(cpu::sum_exp_and_target) sum_exp_and_target;
[[gnu::weak]] decltype(cpu::softmax_minus_target) softmax_minus_target;
[[gnu::weak]] decltype(cpu::negative_log_likelihood) negative_log_likelihood;
}  // namespace cuda

namespace kernels {
inline const Kernel row_max{"row_max", checks::row_max, cpu::row_max, cuda::row_max};
inline const Kernel sum_exp_and_target{"sum_exp_and_target", checks::sum_exp_and_target,
                                       cpu::sum_exp_and_target, cuda::sum_exp_and_target};
inline const Kernel softmax_minus_target{"softmax_minus_target", checks::softmax_minus_target,
                                         cpu::softmax_minus_target, cuda::softmax_minus_target};
inline const Kernel negative_log_likelihood{
    "negative_log_likelihood", checks::negative_log_likelihood, cpu::negative_log_likelihood,
    cuda::negative_log_likelihood};
}  // namespace kernels
}  // namespace shardgrad
