// The feed-forward layer, its hidden features split over the ranks.
#pragma once

#include "model/gpt_config.h"
#include "model/gpt_parallelism.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/row_parallel_linear.h"

namespace shardgrad {

/// Column-parallel (output not gathered) -> GELU -> row-parallel (input already split): the hidden
/// features never leave their rank (Shoeybi et al., arXiv:1909.08053, section 3).
class FeedForward : public Module {
 public:
  FeedForward(const GPTConfig& config, Communicator& tensor_parallel,
              const GPTParallelism& parallelism, const ParameterOptions& options);

  /// x [B*T, d_model] -> [B*T, d_model], before the residual dropout; both are this rank's rows if
  /// `layout` is Sliced.
  Variable forward(Variable x, TokenLayout layout) const;

 private:
  GeluKind gelu_;
  ColumnParallelLinear expansion_;
  RowParallelLinear projection_;
};

}  // namespace shardgrad
