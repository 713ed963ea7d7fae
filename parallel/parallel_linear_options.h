// What the column- and the row-parallel linear layer have in common.
#pragma once

#include "nn/parameter.h"

namespace shardgrad {

class CommunicationQueue;

/// How the weights of a parallel linear layer are made, and how it communicates.
struct ParallelLinearOptions {
  ParameterOptions parameters;
  /// Of the weights' normal draw; 0: that of Initializer::fan_in(), with the global in_features.
  double standard_deviation = 0.0;
  /// Column-parallel only: the output is this many tensors side by side, each cut on its own.
  std::int64_t segments = 1;
  /// The layer trains on token matrices of which each rank holds a slice (TokenLayout::Sliced).
  bool sequence_parallel = false;
  /// Column-parallel only: what crosses between the ranks in the backward pass does so on this
  /// queue, beside the matrix products. Null: on the group itself, at the same place, with the same
  /// result. It must outlive the layer and its graphs.
  CommunicationQueue* overlap = nullptr;

  Initializer weight_initializer(std::int64_t in_features) const {
    return standard_deviation > 0.0 ? Initializer::normal(standard_deviation)
                                    : Initializer::fan_in(in_features);
  }
};

}  // namespace shardgrad
