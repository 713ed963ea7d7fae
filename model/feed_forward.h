// The feed-forward layer, its hidden features split over the ranks.
#pragma once

#include "model/gpt_config.h"
#include "nn/dropout.h"
#include "parallel/column_parallel_linear.h"
#include "parallel/row_parallel_linear.h"

namespace shardgrad {

/// Column-parallel (output not gathered) -> GELU -> row-parallel (input already split) -> dropout:
/// the hidden features never leave their rank (Shoeybi et al., arXiv:1909.08053, section 3).
class FeedForward : public Module {
 public:
  FeedForward(const GPTConfig& config, std::int64_t layer, Communicator& tensor_parallel,
              const ParameterOptions& options);

  /// residual + dropout(layer(x)); x, residual [B*T, d_model].
  Variable forward(Variable x, const Variable& residual, const ForwardContext& context) const;

 private:
  GeluKind gelu_;
  ColumnParallelLinear expansion_;
  RowParallelLinear projection_;
  Dropout dropout_;
};

}  // namespace shardgrad
