#include "tools/progress_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace shardgrad {
namespace {

// A NaN without its sign.
double shown(double number) { return std::isnan(number) ? std::abs(number) : number; }

// The parts of the line.
struct Parts {
  Parts(const StepMetrics& metrics, std::int64_t total_steps)
      : step(fmt::format("step {:>{}}/{}", metrics.step, std::to_string(total_steps).size(),
                         total_steps)),
        loss(fmt::format("  loss {:.4f}", shown(metrics.loss))),
        rate(fmt::format("  lr {:.1e}", metrics.learning_rate)),
        norm(fmt::format("  norm {:.3f}", shown(metrics.gradient_norm))),
        speed(fmt::format("  {:.0f} tokens/s", metrics.tokens_per_second)) {
    if (metrics.skipped_steps > 0) skipped = fmt::format("  skipped {}", metrics.skipped_steps);
  }

  std::string step, loss, rate, norm, skipped, speed;
};

std::string bar(double done, std::size_t width) {
  const auto filled = static_cast<std::size_t>(done * static_cast<double>(width) + 0.5);
  std::string text;
  for (std::size_t i = 0; i < width; ++i) text += i < filled ? "━" : "─";
  return text;
}

}  // namespace

std::string progress_line(const StepMetrics& metrics, std::int64_t total_steps,
                          const std::string& time) {
  const Parts parts(metrics, total_steps);
  const std::string utilization =
      metrics.model_flops_utilization
          ? fmt::format(", {:.0f} % of GEMM peak", 100.0 * *metrics.model_flops_utilization)
          : "";
  return parts.step + parts.loss + parts.rate + parts.norm + parts.skipped + parts.speed +
         utilization + "  " + time;
}

std::string progress_line(const StepMetrics& metrics, std::int64_t total_steps,
                          const std::string& time, std::size_t columns) {
  constexpr std::size_t kLeastBar = 8, kWidestBar = 24;
  const Parts parts(metrics, total_steps);
  const std::string speed =
      parts.speed + (metrics.model_flops_utilization
                         ? fmt::format(" ({:.0f} %)", 100.0 * *metrics.model_flops_utilization)
                         : "");
  // From all of the numbers to the fewest.
  const std::vector<std::string> candidates{
      parts.step + parts.loss + parts.rate + parts.norm + parts.skipped + speed,
      parts.step + parts.loss + parts.norm + parts.skipped + speed,
      parts.step + parts.loss + parts.skipped + speed, parts.step + parts.loss + parts.skipped};
  for (const std::string& numbers : candidates) {
    const std::size_t taken = numbers.size() + 2 + 2 + time.size();
    if (taken + kLeastBar > columns) continue;
    const double done = static_cast<double>(metrics.step) / static_cast<double>(total_steps);
    // In steps, or it would grow and shrink with the digits beside it.
    const std::size_t width = std::min(columns - taken, kWidestBar) / kLeastBar * kLeastBar;
    return numbers + "  " + bar(done, width) + "  " + time;
  }
  return (candidates.back() + "  " + time).substr(0, columns);
}

}  // namespace shardgrad
