// One layout of the parity program: what came of training in it.
#pragma once

#include <string>
#include <vector>

#include "training/expected_traffic.h"
#include "training/gathered.h"

namespace shardgrad {

/// What every layout of a comparison trains.
struct ParityTask {
  GPTConfig model;
  BatchShape batch;
  std::int64_t steps = 3;
  DType dtype = DType::Float64;
  std::uint64_t seed = 1234;
};

/// What came of it, complete on rank 0.
struct ParityRun {
  std::vector<double> losses, gradient_norms;  ///< by step
  NamedTensors gradients;                      ///< of the first step
  NamedTensors parameters;                     ///< after the last
  /// In the last step: the mean of the ranks' bytes, and the most calls of any.
  CommunicationStats tensor_parallel, data_parallel;
  double peak_bytes = 0.0;  ///< the most memory in tensors, mean of the ranks that share a device
  double seconds = 0.0;     ///< of the fastest step
};

/// Trains on this rank of `world`, on random tokens in sequences of unequal length, with the
/// model's dropout and clipped AdamW steps. `sharing` ranks have their tensors in the same memory.
/// Every rank calls it.
ParityRun train_for_parity(const ParityTask& task, const TrainingLayout& layout,
                           Communicator& world, Device device, int sharing);

/// The largest differences between two runs: losses and norms relative, tensors relative in the
/// Euclidean norm, the worst one counting. NaN where either has one.
struct ParityDifference {
  double loss = 0.0;
  double first_loss = 0.0;
  double gradients = 0.0;
  double parameters = 0.0;
};
ParityDifference difference(const ParityRun& found, const ParityRun& expected);

/// Whether a difference can be due to the order of additions alone: in fp64 all of them below 1e-9;
/// in fp32 loss and gradients of the first step below 1e-5, in bf16 below 4e-3 and 3e-2. Later
/// steps amplify roundings.
bool is_rounding(const ParityDifference& difference, DType dtype);

}  // namespace shardgrad
