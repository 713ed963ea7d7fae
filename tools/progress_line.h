// The line that shows how far a training run is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tools/run_log.h"

namespace shardgrad {

/// "step  400/1400  loss 1.5120  lr 4.4e-03  norm 0.560  20261 tokens/s, 71 % of GEMM peak  TIME"
/// for a line of any length. `time`: "ETA 39 s".
std::string progress_line(const StepMetrics& metrics, std::int64_t total_steps,
                          const std::string& time);

/// The same in at most `columns` columns of a terminal, as many of the numbers as fit in, with a
/// bar where there is room: "step  400/1400  loss 1.5120  20261 tokens/s (71 %)  ━━━───────  TIME".
std::string progress_line(const StepMetrics& metrics, std::int64_t total_steps,
                          const std::string& time, std::size_t columns);

}  // namespace shardgrad
