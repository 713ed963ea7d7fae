// A linear layer whose output features are split over the ranks.
#pragma once

#include "nn/forward_context.h"
#include "nn/module.h"
#include "parallel/communicator.h"
#include "parallel/parallel_linear_options.h"
#include "parallel/regions.h"
#include "tensor/kernels/gelu.h"

namespace shardgrad {

/// y = x W^T + b with W [out_features, in_features] cut by rows: rank r computes its slice of the
/// output features from the whole input (Megatron-LM's column-parallel layer; W is A^T there).
/// Forward: f at the input, local GEMM, and all-gather if gather_output. Backward: all-reduce of
/// dx. Where the input's tokens are sliced, they are gathered, and dx is reduce-scattered; what was
/// gathered is not kept, but gathered once more for the weight's gradient. With a queue to overlap
/// with, dx is reduced while the gradients of weight and bias are computed, and the tokens are
/// gathered again while dx is.
class ColumnParallelLinear : public Module {
 public:
  /// `tensor_parallel` must outlive the layer and its graphs.
  /// @throws Error unless tp divides out_features; gather_output goes with segments = 1 only.
  ColumnParallelLinear(std::int64_t in_features, std::int64_t out_features, bool bias,
                       bool gather_output, Communicator& tensor_parallel,
                       const ParallelLinearOptions& options = {});

  /// x [M, in_features], replicated -> [M, out_features / tp], or [M, out_features] if
  /// gather_output. If `layout` is Sliced, x is this rank's slice [M / tp, in_features].
  Variable forward(Variable x, TokenLayout layout = TokenLayout::Replicated) const;

  /// gelu(forward(x)), with bias and GELU in the epilogue of the matrix product where the device
  /// can. @throws Error if gather_output.
  Variable forward_gelu(Variable x, GeluKind kind,
                        TokenLayout layout = TokenLayout::Replicated) const;

 private:
  InputRegion input_region(TokenLayout layout) const;

  Communicator& tensor_parallel_;
  CommunicationQueue* overlap_;
  bool gather_output_;
  ParameterPointer weight_;
  ParameterPointer bias_;
};

}  // namespace shardgrad
