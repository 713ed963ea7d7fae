// The guard against spikes: steps whose loss or gradient norm is far above those before them.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace shardgrad {

/// What a step may be, to change the parameters.
struct StepLimits {
  double loss = std::numeric_limits<double>::infinity();
  double gradient_norm = std::numeric_limits<double>::infinity();
};

/// The last steps that have changed the parameters, the oldest first, at most kWindow of them.
struct StepHistory {
  static constexpr std::int64_t kWindow = 128;

  std::vector<double> losses;
  std::vector<double> gradient_norms;  ///< before clipping; as many

  /// One more step, which may push out the oldest.
  void add(double loss, double gradient_norm);
};

/// What the step after `history` may be: its loss and its gradient norm each at most `threshold`
/// standard deviations above the mean of the history. No limit when `threshold` is 0, or when the
/// history is shorter than half of its window, as at the beginning of a run, when both still
/// change much.
///
/// The rule is that of the SkipStepOptimizer of OLMo-core (github.com/allenai/OLMo-core), also of
/// 128 steps, where the threshold is 6; with two differences: what was skipped does not enter the
/// mean by which the next step is judged, and a deviation counts as 1 % of the mean at least, so
/// that of numbers that hardly change none is a spike by rounding.
StepLimits spike_limits(const StepHistory& history, double threshold);

}  // namespace shardgrad
