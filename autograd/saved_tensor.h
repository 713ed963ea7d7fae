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
  explicit SavedTensor(Tensor value) : value_(std::move(value)) {}
  explicit SavedTensor(std::function<Tensor()> recompute) : recompute_(std::move(recompute)) {}

  /// The tensor; computed at each call if it was not kept.
  Tensor get() const { return recompute_ ? recompute_() : value_; }

 private:
  Tensor value_;
  std::function<Tensor()> recompute_;
};

}  // namespace shardgrad
