// SavedTensor: what an operation keeps of its inputs for the backward pass.
#pragma once

#include <functional>

#include "tensor/tensor.h"

namespace shardgrad {

/// A tensor, or a function that computes it again from tensors that are kept in any case: the
/// output of a GELU need not lie in memory beside its input until the backward pass. Source:
/// selective recomputation, Korthikanti et al., arXiv:2205.05198, section 5.
class SavedTensor {
 public:
  /// Computes the tensor; `gradient` as in get().
  using Recompute = std::function<Tensor(Tensor* gradient)>;

  explicit SavedTensor(Tensor value) : value_(std::move(value)) {}
  explicit SavedTensor(Recompute recompute) : recompute_(std::move(recompute)) {}

  /// The tensor; computed at each call if it was not kept. `gradient`, if not null, is what
  /// Gradients::complete_gradient() gave for the variable whose value this is. It may be changed,
  /// and the tensor is then not to be asked for again.
  Tensor get(Tensor* gradient = nullptr) const {
    return recompute_ ? recompute_(gradient) : value_;
  }

 private:
  Tensor value_;
  Recompute recompute_;
};

}  // namespace shardgrad
