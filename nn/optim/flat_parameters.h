// All parameters of a model in one buffer, and all their gradients in another.
#pragma once

#include <vector>

#include "nn/optim/flat_range.h"
#include "nn/parameter.h"

namespace shardgrad {

/// Moves the values and gradients of parameters into two flat buffers, of which they become views:
/// the optimizer then makes one pass over memory, and gradients are collected where it reads them.
///
/// Matrices (rank 2 and above), which weight decay applies to, come first, then vectors; among
/// either, those with partial gradients (see Parameter) come first. Each parameter begins at a
/// cache line; the gaps hold zeros. Gradients are in the accumulation dtype of the values.
class FlatParameters {
 public:
  /// `region_multiple`: the matrices and the vectors each take up a multiple of this many elements,
  /// for those who cut either into equal parts. @throws Error when there is no parameter, or the
  /// dtypes or devices differ.
  explicit FlatParameters(std::vector<NamedParameter> parameters, std::int64_t region_multiple = 1);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  Tensor& values() { return values_; }        ///< [numel]
  Tensor& gradients() { return gradients_; }  ///< [numel]
  std::int64_t numel() const { return values_.numel(); }
  /// Where parameter `index` begins in the flat buffers.
  std::int64_t offset(std::size_t index) const { return ranges_.at(index).begin; }
  /// The elements of parameter `index`, and the gap behind it.
  const FlatRange& range(std::size_t index) const { return ranges_.at(index); }
  /// Elements [0, decayed_numel()) are those that weight decay applies to.
  std::int64_t decayed_numel() const { return decayed_numel_; }

  /// Forgets all gradients: before the first backward pass of a step.
  void clear_gradients();

  /// Makes the gradient of every parameter that the backward passes did not reach zero: before the
  /// flat buffer is read.
  void complete_gradients();

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<Tensor> gradient_views_;
  std::vector<FlatRange> ranges_;
  Tensor values_;
  Tensor gradients_;
  std::int64_t decayed_numel_ = 0;
};

}  // namespace shardgrad
