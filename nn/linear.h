// A dense affine layer.
#pragma once

#include "nn/module.h"

namespace shardgrad {

/// y = x weight^T + bias; weight [out_features, in_features], bias [out_features].
/// Starts with Initializer::fan_in() weights and zero bias.
class Linear : public Module {
 public:
  /// @throws Error unless both extents are positive.
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias = true,
         const ParameterOptions& options = {});

  /// x [M, in_features] -> [M, out_features].
  Variable forward(const Variable& x) const;

 private:
  ParameterPointer weight_;
  ParameterPointer bias_;
};

}  // namespace shardgrad
