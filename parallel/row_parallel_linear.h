// A linear layer whose input features are split over the ranks.
#pragma once

#include "nn/forward_context.h"
#include "nn/module.h"
#include "parallel/communicator.h"
#include "parallel/parallel_linear_options.h"

namespace shardgrad {

/// y = x W^T + b with W [out_features, in_features] cut by columns: rank r multiplies its slice of
/// the input features, and the products are summed over the ranks (Megatron-LM's row-parallel
/// layer). Forward: local GEMM, then g. The bias is replicated and added once, after the sum. Where
/// the output's tokens are sliced, g is a reduce-scatter and the bias is added to the slice: its
/// gradient is then partial (see Parameter::partial_gradient).
class RowParallelLinear : public Module {
 public:
  /// `tensor_parallel` must outlive the layer and its graphs.
  /// @throws Error unless tp divides in_features.
  RowParallelLinear(std::int64_t in_features, std::int64_t out_features, bool bias,
                    bool input_is_parallel, Communicator& tensor_parallel,
                    const ParallelLinearOptions& options = {});

  /// x [M, in_features / tp] if input_is_parallel, else [M, in_features] replicated
  /// -> [M, out_features], replicated, or if `layout` is Sliced this rank's rows of it.
  /// @throws Error unless tp divides the rows that are to be sliced, or when the bias could not
  /// learn: its gradient is partial exactly if options.sequence_parallel.
  Variable forward(Variable x, TokenLayout layout = TokenLayout::Replicated) const;

 private:
  Communicator& tensor_parallel_;
  bool input_is_parallel_;
  ParameterPointer weight_;
  ParameterPointer bias_;
};

}  // namespace shardgrad
