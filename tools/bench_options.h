// The command line of the benchmark.
#pragma once

#include <string>
#include <vector>

#include "tools/bench_run.h"

namespace shardgrad {

struct BenchOptions {
  std::vector<BenchCase> cases;  ///< in the order in which they are to be measured
  BenchRounds rounds;
  std::string json;  ///< file for the numbers; empty: none
};

/// Reads and validates the command line. Returns false when it asked for --help.
/// @throws Error that says what is wrong and what would be right.
bool parse_bench_options(int argc, const char* const* argv, BenchOptions& options);

}  // namespace shardgrad
