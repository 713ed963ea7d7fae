// The charts of a report.
#pragma once

#include <vector>

#include "report/chart.h"
#include "report/run_record.h"

namespace shardgrad {

/// Loss, learning rate, gradient norm, speed and skipped steps of the runs, each chart with all of
/// them. Run i has colour i. Of a single run, validation has another colour than training.
std::vector<Chart> charts_of(const std::vector<RunRecord>& runs);

}  // namespace shardgrad
