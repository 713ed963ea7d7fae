// Parameter: a trainable tensor, or this rank's shard of one.
#pragma once

#include <cmath>
#include <memory>
#include <string>

#include "autograd/variable.h"
#include "nn/shard_spec.h"

namespace shardgrad {

/// What a parameter starts as.
struct Initializer {
  enum class Kind { Zeros, Ones, Normal };
  Kind kind = Kind::Zeros;
  double standard_deviation = 0.0;  ///< of Normal, whose mean is 0

  static Initializer zeros() { return {Kind::Zeros, 0.0}; }
  static Initializer ones() { return {Kind::Ones, 0.0}; }
  static Initializer normal(double standard_deviation) {
    return {Kind::Normal, standard_deviation};
  }
  /// Normal(0, 1 / in_features), which keeps the variance of unit inputs (LeCun et al., "Efficient
  /// BackProp", 1998).
  static Initializer fan_in(std::int64_t in_features) {
    return normal(1.0 / std::sqrt(static_cast<double>(in_features)));
  }
};

/// Element type and place of a module's parameters, and what their gradients are.
struct ParameterOptions {
  DType dtype = DType::Float32;
  Device device = {};
  /// Of parameters that every rank holds whole but applies to its own tokens only, as those of a
  /// layer norm under sequence parallelism; see Parameter::partial_gradient.
  bool partial_gradient = false;
};

/// A leaf variable of the shard's local shape, what part of the global tensor it is, and how it is
/// initialised. Modules share it by pointer: two that hold the same one are tied.
struct Parameter {
  /// The value is uninitialised until initialize_parameters() or a checkpoint fills it.
  Parameter(ShardSpec spec, Initializer init, const ParameterOptions& options)
      : variable(Tensor::empty(spec.local_shape(), options.dtype, options.device), true),
        shard(std::move(spec)),
        initializer(init),
        partial_gradient(options.partial_gradient) {}

  Variable variable;
  ShardSpec shard;
  Initializer initializer;
  /// Each rank's gradient covers its own tokens only; it is summed over the tensor-parallel group
  /// before anyone reads it.
  bool partial_gradient;
};

using ParameterPointer = std::shared_ptr<Parameter>;

/// A parameter under its full name, such as "blocks.0.attention.query_key_value.weight".
struct NamedParameter {
  std::string name;
  ParameterPointer parameter;
};

}  // namespace shardgrad
