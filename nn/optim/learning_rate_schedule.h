// Linear warm-up, then cosine decay.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace shardgrad {

/// Rises linearly to `peak` over `warmup_steps`, then falls along half a cosine to `minimum` at
/// `total_steps`, and stays there. Source: Loshchilov, Hutter, arXiv:1608.03983.
struct LearningRateSchedule {
  double peak = 1e-3;
  double minimum = 1e-4;
  std::int64_t warmup_steps = 0;
  std::int64_t total_steps = 1;

  /// Of step 0, 1, ...; the first is already above zero, step `warmup_steps - 1` is at the peak.
  double at(std::int64_t step) const {
    if (step < warmup_steps) return peak * static_cast<double>(step + 1) / warmup_steps;
    const double decay_steps =
        static_cast<double>(std::max<std::int64_t>(total_steps - warmup_steps, 1));
    const double progress = std::min((step - warmup_steps) / decay_steps, 1.0);
    return minimum + 0.5 * (peak - minimum) * (1.0 + std::cos(progress * 3.141592653589793));
  }
};

}  // namespace shardgrad
