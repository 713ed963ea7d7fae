#include "autograd/functions/cross_entropy.h"

#include "tensor/kernels/elementwise.h"

namespace shardgrad {
namespace {

void check_labels(const Tensor& labels, std::int64_t vocab_size, std::int64_t ignore_index) {
  require(labels.device() == Device{}, "cross_entropy",
          "the labels are on {}; expected them on the host, where they are checked",
          labels.device().to_string());
  const std::int32_t* label = labels.data<std::int32_t>();
  for (std::int64_t row = 0; row < labels.numel(); ++row) {
    require(label[row] == ignore_index || (label[row] >= 0 && label[row] < vocab_size),
            "cross_entropy",
            "label {} at row {} is outside the vocabulary of {}; use ids in [0, {}) or the "
            "ignore_index {}",
            label[row], row, vocab_size, vocab_size, ignore_index);
  }
}

}  // namespace

Variable cross_entropy(Variable logits, const Tensor& labels, const CrossEntropyOptions& options) {
  const std::int64_t vocab_size = logits.size(-1);
  return cross_entropy(std::move(logits), labels, vocab_size, {0, vocab_size}, {}, options);
}

Variable cross_entropy(Variable logits, const Tensor& host_labels, std::int64_t vocab_size,
                       const VocabularySlice& slice, const VocabularyReductions& reductions,
                       const CrossEntropyOptions& options) {
  require(logits.value().rank() == 2 && host_labels.shape() == Shape{logits.size(0)},
          "cross_entropy", "logits are {} and labels {}; expected [M, V] and [M]",
          logits.shape().to_string(), host_labels.shape().to_string());
  check_labels(host_labels, vocab_size, options.ignore_index);
  require(options.label_smoothing >= 0.0 && options.label_smoothing < 1.0, "cross_entropy",
          "label_smoothing is {}; expected 0 <= e < 1", options.label_smoothing);
  const TargetDistribution target{options.ignore_index, 1.0 - options.label_smoothing,
                                  options.label_smoothing / static_cast<double>(vocab_size)};
  Tensor values = std::move(logits).release_value();  // logits is left as the graph's edge only
  const Tensor labels = host_labels.to(values.device());
  const DType statistics = accumulation_dtype(values.dtype());
  const Shape rows{values.size(0)};
  Tensor row_max = Tensor::empty(rows, statistics, values.device());
  kernels::row_max(values, slice, row_max);
  if (reductions.max) reductions.max(row_max);
  // Both sums in one buffer, so that the ranks reduce once.
  Tensor sums = Tensor::empty({2, values.size(0)}, statistics, values.device());
  Tensor sum_exp = sums.slice(0, 0, 1).reshape(rows);
  Tensor target_logit = sums.slice(0, 1, 1).reshape(rows);
  kernels::sum_exp_and_target(values, labels, slice, target, row_max, sum_exp, target_logit);
  if (reductions.sum) reductions.sum(sums);
  Tensor loss = Tensor::empty({1}, DType::Float64, values.device());
  Tensor scale = Tensor::empty_like(loss);
  kernels::negative_log_likelihood(sum_exp, target_logit, labels, options.ignore_index,
                                   options.normalizer, loss, scale);
  return record(
      "cross_entropy", {std::move(logits)}, loss,
      [values, labels, slice, target, row_max, sum_exp, scale](Gradients& gradients) mutable {
        Tensor dlogits = values.is_sole_owner() ? values : values.clone();
        values = Tensor();
        kernels::multiply(scale, gradients.output(), scale);
        kernels::softmax_minus_target(dlogits, labels, slice, target, row_max, sum_exp, scale);
        gradients.add(0, std::move(dlogits));
      });
}

}  // namespace shardgrad
