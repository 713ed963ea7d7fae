// What the operations of a profile have to do at least: their arithmetic, and the memory they move.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor/operation_times.h"

namespace shardgrad {

/// Floating-point operations of matrix products; bytes read and written, each tensor once (twice
/// what is updated in place), as if there were no caches.
struct OperationCost {
  double flops = 0.0;
  double bytes = 0.0;
};

/// The least that `call` has to do. What is looked up in a table counts, not the whole table.
OperationCost cost_of(const OperationCall& call);

/// The calls of one step that are alike.
struct OperationSummary {
  std::string name;
  std::string detail;  ///< "256 x 768 x 2304", M x K x N of a matrix product; else empty
  std::int64_t calls = 0;
  double seconds = 0.0;
  OperationCost cost;
};

/// `calls` by name and detail, in the order in which each came first.
std::vector<OperationSummary> summarize(const std::vector<OperationCall>& calls);

/// For each kind of call that all `steps` have made: its median number of seconds in a step.
/// `steps` are not empty, and made the same calls.
std::vector<OperationSummary> median_step(std::vector<std::vector<OperationSummary>> steps);

/// `operations` with those of one name added up, the longest first.
std::vector<OperationSummary> by_name(const std::vector<OperationSummary>& operations);

}  // namespace shardgrad
