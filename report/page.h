// A report about training runs as one HTML file.
#pragma once

#include <string>
#include <vector>

#include "report/run_record.h"

namespace shardgrad {

/// A page that needs nothing but itself, neither network nor other files: the summary, the curves,
/// the settings and the samples of a run, or of several runs over each other. Light or dark, as the
/// browser is set. At least one run, each with at least one step. @throws Error otherwise.
std::string report_page(const std::vector<RunRecord>& runs);

}  // namespace shardgrad
