// One measurement of the benchmark: full training steps of a model in a layout.
#pragma once

#include <string>
#include <vector>

#include "parallel/processes.h"
#include "tools/device_options.h"
#include "tools/operation_costs.h"
#include "training/gpt_training.h"

namespace shardgrad {

/// What is measured.
struct BenchCase {
  std::string name;  ///< "gpt2"
  GPTConfig model;
  std::int64_t batch_size = 4;  ///< sequences of a step
  std::int64_t seq_len = 64;    ///< tokens of a sequence
  TrainingLayout layout;
  int threads = 0;  ///< per rank; 0: an equal share of the cores
  DeviceOptions device;
};

/// Seconds of one step, and of its phases in another one, at whose ends the device is waited for.
struct StepTimes {
  double total = 0.0, forward = 0.0, backward = 0.0, optimizer = 0.0;
};

/// What came of it, on rank 0. Rates are those of all ranks together.
struct BenchResult {
  std::string device;  ///< "cpu", "NVIDIA H100 80GB HBM3, shared by 2 ranks"
  std::vector<StepTimes> steps;
  std::vector<OperationSummary> operations;  ///< of rank 0 in one step, medians
  std::int64_t parameters = 0;
  int threads = 1;                   ///< of each rank
  double flops = 0.0;                ///< of the matrix products of a step: see step_flops()
  double gemm_rate = 0.0;            ///< FLOP/s of a large matrix product
  double memory_rate = 0.0;          ///< bytes/s of adding one large vector to another
  double all_reduce_rate = 0.0;      ///< bytes/s read and written for one; 0: there is one rank
  double peak_bytes_per_rank = 0.0;  ///< the most in tensors at once

  /// Medians of the steps.
  StepTimes median() const;
};

/// How often.
struct BenchRounds {
  std::int64_t warmup = 2;
  std::int64_t steps = 7;  ///< measured ones, each followed by one that is looked into
  bool paced = false;      ///< each, also of the warm-up, waits for a line on the standard input
};

/// Runs the steps of `rounds`. Completes the layout of `task` first, and prints progress on stderr.
/// The result of a process that does not lead is empty.
/// @throws Error when the case cannot be run on this machine, or the standard input ends early.
BenchResult run_bench(BenchCase& task, const BenchRounds& rounds, Processes& processes);

}  // namespace shardgrad
