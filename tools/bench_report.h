// How the benchmark shows what it has measured: tables to read, JSON to compute with.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench_run.h"

namespace shardgrad {

/// "AMD EPYC 9B14", from the system.
std::string processor_name();

/// Prints the case, the step, its phases, and a table of its operations.
void print_result(const BenchCase& task, const BenchResult& result);

/// Prints one line for each case.
void print_summary(const std::vector<BenchCase>& tasks, const std::vector<BenchResult>& results);

/// All numbers of a measurement; times in seconds, rates in FLOP/s and bytes/s.
nlohmann::ordered_json to_json(const BenchCase& task, const BenchResult& result);

}  // namespace shardgrad
