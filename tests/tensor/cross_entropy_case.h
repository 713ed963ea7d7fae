// The phases of the loss over slices of the vocabulary, reduced between them as ranks would, and
// what should come of them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/kernels/cross_entropy.h"
#include "tests/support/reference.h"

namespace shardgrad::cross_entropy_case {

using reference::Matrix;
using reference::to_matrix;

constexpr std::int64_t kIgnore = -100;

struct Outcome {
  double loss = 0.0;
  double counted = 0.0;
  Matrix gradient;  ///< of the real columns, factor 1
};

inline TargetDistribution target_of(double smoothing, std::int64_t vocab_size) {
  return {kIgnore, 1.0 - smoothing, smoothing / static_cast<double>(vocab_size)};
}

/// One slice of the vocabulary and what a rank keeps for its rows.
struct Slice {
  Slice(const Tensor& all_logits, std::int64_t first, std::int64_t columns, std::int64_t padding)
      : place{first, columns},
        logits(Tensor::full({all_logits.size(0), columns + padding}, 1e6, all_logits.dtype())),
        max(Tensor::empty({all_logits.size(0)}, accumulation_dtype(all_logits.dtype()))),
        sum(Tensor::empty_like(max)),
        target(Tensor::empty_like(max)) {
    logits.slice(1, 0, columns).copy_from(all_logits.slice(1, first, columns));
  }
  VocabularySlice place;
  Tensor logits, max, sum, target;
};

/// The whole computation over slices of the given widths, reducing between the phases as the ranks
/// would. Each slice has `padding` columns that must not count.
inline Outcome run(const Tensor& logits, const Tensor& labels,
                   const std::vector<std::int64_t>& widths, std::int64_t padding = 0,
                   double factor = 1.0, double smoothing = 0.0) {
  const TargetDistribution target = target_of(smoothing, logits.size(1));
  std::vector<Slice> slices;
  std::int64_t first = 0;
  for (std::int64_t width : widths) {
    slices.emplace_back(logits, first, width, padding);
    first += width;
  }
  const std::int64_t rows = logits.size(0);
  const DType dtype = accumulation_dtype(logits.dtype());
  Matrix max = Matrix::Constant(1, rows, -std::numeric_limits<double>::infinity());
  for (Slice& slice : slices) {
    kernels::row_max(slice.logits, slice.place, slice.max);
    max = max.cwiseMax(to_matrix(slice.max));
  }
  const Tensor global_max = reference::to_tensor(max, dtype).reshape({rows});
  Matrix sum = Matrix::Zero(1, rows);
  Matrix target_logit = Matrix::Zero(1, rows);
  for (Slice& slice : slices) {
    kernels::sum_exp_and_target(slice.logits, labels, slice.place, target, global_max, slice.sum,
                                slice.target);
    sum += to_matrix(slice.sum);
    target_logit += to_matrix(slice.target);
  }
  const Tensor global_sum = reference::to_tensor(sum, dtype).reshape({rows});
  const Tensor global_target = reference::to_tensor(target_logit, dtype).reshape({rows});
  Tensor loss = Tensor::empty({}, DType::Float64);
  Tensor mean = Tensor::empty({}, DType::Float64);
  Tensor scale = Tensor::empty({}, DType::Float64);
  kernels::negative_log_likelihood(global_sum, global_target, labels, kIgnore, 0.0, mean, scale);
  const double counted = scale.item() > 0.0 ? 1.0 / scale.item() : 0.0;
  // A given normalizer divides instead of the count.
  kernels::negative_log_likelihood(global_sum, global_target, labels, kIgnore, 0.25, loss, scale);
  EXPECT_EQ(scale.item(), 4.0);
  const double total = loss.item() / 4.0;
  if (counted > 0.0 && !std::isnan(total)) {
    EXPECT_NEAR(mean.item() * counted / total, 1.0, 1e-12);
  }
  if (counted == 0.0) {
    EXPECT_EQ(mean.item(), 0.0);
  }
  Outcome outcome{total, counted, Matrix(rows, logits.size(1))};
  for (Slice& slice : slices) {
    kernels::softmax_minus_target(slice.logits, labels, slice.place, target, global_max, global_sum,
                                  Tensor::full({}, factor, DType::Float64));
    if (slice.logits.numel() == 0) continue;
    const Matrix gradient = to_matrix(slice.logits);
    outcome.gradient.middleCols(slice.place.first_column, slice.place.columns) =
        gradient.leftCols(slice.place.columns);
    EXPECT_TRUE((gradient.rightCols(padding).array() == 0.0).all());
  }
  return outcome;
}

/// Softmax cross-entropy by its definition, in float64.
inline Outcome expected_of(const Tensor& logits, const Tensor& labels, double smoothing = 0.0) {
  const Matrix z = to_matrix(logits);
  Outcome outcome{0.0, 0.0, Matrix::Zero(z.rows(), z.cols())};
  for (Eigen::Index m = 0; m < z.rows(); ++m) {
    const std::int64_t label = labels.data<std::int32_t>()[m];
    if (label == kIgnore) continue;
    const Eigen::RowVectorXd e =
        (z.row(m).array() - z.row(m).maxCoeff()).unaryExpr([](double x) { return std::exp(x); });
    Eigen::RowVectorXd target =
        Eigen::RowVectorXd::Constant(z.cols(), smoothing / static_cast<double>(z.cols()));
    target(label) += 1.0 - smoothing;
    const Eigen::RowVectorXd log_softmax =
        z.row(m).array() - z.row(m).maxCoeff() - std::log(e.sum());
    outcome.gradient.row(m) = log_softmax.array().exp().matrix() - target;
    // 0 * infinity is no part of the sum.
    for (Eigen::Index v = 0; v < z.cols(); ++v) {
      if (target(v) > 0.0) outcome.loss -= target(v) * log_softmax(v);
    }
    outcome.counted += 1.0;
  }
  return outcome;
}

inline double gradient_difference(const Outcome& a, const Outcome& b) {
  return (a.gradient - b.gradient).norm() / b.gradient.norm();
}

}  // namespace shardgrad::cross_entropy_case
