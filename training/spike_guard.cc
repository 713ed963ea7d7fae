#include "training/spike_guard.h"

#include <algorithm>
#include <cmath>

namespace shardgrad {
namespace {

constexpr double kLeastRelativeDeviation = 0.01;

void push(std::vector<double>& numbers, double number) {
  if (static_cast<std::int64_t>(numbers.size()) == StepHistory::kWindow) {
    numbers.erase(numbers.begin());
  }
  numbers.push_back(number);
}

double limit_after(const std::vector<double>& numbers, double threshold) {
  const auto count = static_cast<double>(numbers.size());
  double mean = 0.0, square = 0.0;
  for (const double number : numbers) mean += number / count;
  for (const double number : numbers) square += (number - mean) * (number - mean) / count;
  return mean + threshold * std::max(std::sqrt(square), kLeastRelativeDeviation * std::abs(mean));
}

}  // namespace

void StepHistory::add(double loss, double gradient_norm) {
  push(losses, loss);
  push(gradient_norms, gradient_norm);
}

StepLimits spike_limits(const StepHistory& history, double threshold) {
  const auto steps = static_cast<std::int64_t>(history.losses.size());
  if (threshold == 0.0 || steps < StepHistory::kWindow / 2) return {};
  return {limit_after(history.losses, threshold), limit_after(history.gradient_norms, threshold)};
}

}  // namespace shardgrad
