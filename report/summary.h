// What a run came to, in a few numbers.
#pragma once

#include <string>
#include <vector>

#include "report/run_record.h"

namespace shardgrad {

/// A number with its name, as texts.
struct Fact {
  std::string name, value;
  std::string detail;  ///< of the value; may be empty
};

/// Points that about 2 % of the run has: what curves are smoothed over.
double smoothing_window(const RunRecord& run);

/// Steps made, losses, tokens, time, speed and skipped steps of a run: the same facts for every
/// run, with "none" for what is not known. Time is that of the training steps, without validations
/// and checkpoints: the sum over the steps of their tokens over their tokens per second.
std::vector<Fact> summary_of(const RunRecord& run);

}  // namespace shardgrad
