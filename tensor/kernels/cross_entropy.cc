#include "tensor/kernels/cross_entropy.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {
namespace {

void check_slice(const char* where, const Tensor& logits, const VocabularySlice& slice) {
  require_leading_matrix(where, "logits", logits);
  require_floating(where, logits.dtype());
  require(slice.columns >= 0 && slice.columns <= logits.size(1), where,
          "the slice has {} real columns; expected 0 to {} for logits of shape {}", slice.columns,
          logits.size(1), logits.shape().to_string());
  require(slice.first_column >= 0, where, "first_column is {}; expected at least 0",
          slice.first_column);
}

// A number for each row of the logits.
void check_row_numbers(const char* where, const char* name, const Tensor& tensor,
                       const Tensor& logits) {
  require_operand(where, name, tensor, {logits.size(0)}, accumulation_dtype(logits.dtype()));
}

void check_target(const char* where, const TargetDistribution& target) {
  require(target.at_label >= 0.0 && target.everywhere >= 0.0, where,
          "the target has probability {} at the label and {} everywhere; expected none below 0",
          target.at_label, target.everywhere);
}

}  // namespace

void row_max(const Tensor& logits, const VocabularySlice& slice, Tensor& row_max) {
  check_slice("row_max", logits, slice);
  check_row_numbers("row_max", "row_max", row_max, logits);
}

void sum_exp_and_target(const Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                        const TargetDistribution& target, const Tensor& row_max, Tensor& sum_exp,
                        Tensor& target_logit) {
  constexpr const char* kName = "sum_exp_and_target";
  check_slice(kName, logits, slice);
  require_operand(kName, "labels", labels, {logits.size(0)}, DType::Int32);
  check_row_numbers(kName, "row_max", row_max, logits);
  check_row_numbers(kName, "sum_exp", sum_exp, logits);
  check_row_numbers(kName, "target_logit", target_logit, logits);
  check_target(kName, target);
}

void softmax_minus_target(Tensor& logits, const Tensor& labels, const VocabularySlice& slice,
                          const TargetDistribution& target, const Tensor& row_max,
                          const Tensor& sum_exp, const Tensor& factor) {
  constexpr const char* kName = "softmax_minus_target";
  check_slice(kName, logits, slice);
  require_operand(kName, "labels", labels, {logits.size(0)}, DType::Int32);
  check_row_numbers(kName, "row_max", row_max, logits);
  check_row_numbers(kName, "sum_exp", sum_exp, logits);
  require_number(kName, "factor", factor);
  check_target(kName, target);
}

void negative_log_likelihood(const Tensor& sum_exp, const Tensor& target_logit,
                             const Tensor& labels, std::int64_t, double, Tensor& loss,
                             Tensor& scale) {
  constexpr const char* kName = "negative_log_likelihood";
  const std::int64_t rows = sum_exp.numel();
  require_operand(kName, "sum_exp", sum_exp, {rows}, sum_exp.dtype());
  require_accumulating(kName, sum_exp.dtype());
  require_operand(kName, "target_logit", target_logit, {rows}, sum_exp.dtype());
  require_operand(kName, "labels", labels, {rows}, DType::Int32);
  require_number(kName, "loss", loss);
  require_number(kName, "scale", scale);
}

}  // namespace shardgrad::checks
