// What a training run says of itself before its first step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/run_log.h"
#include "training/memory.h"

namespace shardgrad {

/// The speed of matrix products, all ranks together.
struct GemmRate {
  std::int64_t size = 0;  ///< of the square matrices it was measured with
  double flops_per_second = 0.0;
};

/// What is known when the ranks are ready for their first step.
struct RunFacts {
  std::vector<Device> devices;  ///< of all ranks
  int threads = 1;              ///< of each
  std::string data;             ///< its description
  std::int64_t parameters = 0;  ///< of the whole model
  TrainingMemory memory;
  std::optional<GemmRate> gemm;  ///< not of runs that are too short to measure it for them
};

/// Says what the model, the layout, the data and the steps are, where the memory goes, and what the
/// machine can do.
void print_header(const TrainOptions& options, const RunFacts& facts, RunLog& log);

/// The memory of a rank, a line for each kind, and their sum.
std::string memory_table(const TrainingMemory& memory);

}  // namespace shardgrad
