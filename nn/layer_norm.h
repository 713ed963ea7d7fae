// Layer normalisation as a layer.
#pragma once

#include "nn/module.h"
#include "nn/residual_stream.h"

namespace shardgrad {

/// (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension. The
/// parameters are replicated on every tensor-parallel rank. Source: Ba, Kiros, Hinton,
/// arXiv:1607.06450.
class LayerNorm : public Module {
 public:
  /// @throws Error unless features is positive.
  explicit LayerNorm(std::int64_t features, double epsilon = 1e-5,
                     const ParameterOptions& options = {});

  /// x [M, features] -> [M, features].
  Variable forward(const Variable& x) const;

  /// Adds the pending branch of `stream`, if it has one, to the stream, and returns the normalised
  /// stream [M, features]; both in one pass over memory.
  Variable forward(ResidualStream& stream) const;

 private:
  double epsilon_;
  ParameterPointer weight_;
  ParameterPointer bias_;
};

}  // namespace shardgrad
