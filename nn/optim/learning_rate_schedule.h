// Learning-rate schedules: linear warm-up, then one of several ways down.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace shardgrad {

/// What follows the warm-up.
enum class ScheduleKind {
  Cosine,    ///< along half a cosine to the minimum (Loshchilov, Hutter, arXiv:1608.03983)
  Linear,    ///< along a line to the minimum
  Constant,  ///< the peak, to the end
  /// The peak, then along a line to the minimum over the last `decay_steps`: warm-up, stable, decay
  /// (Hu et al., "MiniCPM", arXiv:2404.06395, section 4)
  WarmupStableDecay,
};

/// Rises linearly to `peak` over `warmup_steps`, then falls to `minimum`, which it reaches at
/// `total_steps`, and stays there.
struct LearningRateSchedule {
  double peak = 1e-3;
  double minimum = 1e-4;
  std::int64_t warmup_steps = 0;
  std::int64_t total_steps = 1;
  ScheduleKind kind = ScheduleKind::Cosine;
  std::int64_t decay_steps = 0;  ///< of WarmupStableDecay

  /// Of step 0, 1, ...; the first is already above zero, step `warmup_steps - 1` is at the peak.
  double at(std::int64_t step) const {
    if (step < warmup_steps) return peak * static_cast<double>(step + 1) / warmup_steps;
    switch (kind) {
      case ScheduleKind::Constant:
        return peak;
      case ScheduleKind::Linear:
        return peak + (minimum - peak) * progress(step, warmup_steps);
      case ScheduleKind::WarmupStableDecay:
        return peak +
               (minimum - peak) * progress(step, std::max(warmup_steps, total_steps - decay_steps));
      case ScheduleKind::Cosine:
        break;
    }
    const double angle = 3.141592653589793 * progress(step, warmup_steps);
    return minimum + 0.5 * (peak - minimum) * (1.0 + std::cos(angle));
  }

 private:
  // From 0 at `begin` to 1 at the end.
  double progress(std::int64_t step, std::int64_t begin) const {
    const auto length = static_cast<double>(std::max<std::int64_t>(total_steps - begin, 1));
    return std::clamp(static_cast<double>(step - begin) / length, 0.0, 1.0);
  }
};

}  // namespace shardgrad
