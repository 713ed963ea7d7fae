#include "report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/number_text.h"

namespace shardgrad {
namespace {

std::vector<double> finite(const std::vector<double>& values) {
  std::vector<double> result;
  for (const double value : values) {
    if (std::isfinite(value)) result.push_back(value);
  }
  return result;
}

// Of a run that has diverged, it may be any number.
std::string loss_text(double loss) {
  return std::abs(loss) < 1e4 ? fmt::format("{:.4f}", loss) : fmt::format("{:.4g}", loss);
}

std::string at_step(double step) { return fmt::format("after step {}", grouped_text(step)); }

Fact best_validation(const RunRecord& run) {
  const std::vector<double>& losses = run.values(Metric::ValidationLoss);
  Fact fact{"best validation loss", "none", ""};
  double best = INFINITY;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (!(losses[i] < best)) continue;
    best = losses[i];
    fact.value = loss_text(best);
    fact.detail = at_step(run.steps()[i]);
  }
  return fact;
}

Fact final_loss(const RunRecord& run) {
  const std::vector<double> losses =
      finite(smoothed(run.curve(Metric::Loss), smoothing_window(run)).y);
  return {"training loss", losses.empty() ? "none" : loss_text(losses.back()),
          "at the end, smoothed"};
}

Fact skipped(const RunRecord& run) {
  const std::vector<double> counts = finite(run.values(Metric::SkippedSteps));
  return {"skipped steps", counts.empty() ? "0" : count_text(counts.back()),
          "changed no parameter"};
}

Fact utilization(const std::vector<double>& shares) {
  double sum = 0.0;
  for (const double share : shares) sum += share;
  return {"flops utilization",
          shares.empty()
              ? "none"
              : fmt::format("{:.1f} %", 100.0 * sum / static_cast<double>(shares.size())),
          "mean"};
}

}  // namespace

double smoothing_window(const RunRecord& run) {
  return std::max(1.0, 0.02 * static_cast<double>(run.steps().size()));
}

std::vector<Fact> summary_of(const RunRecord& run) {
  const double last = run.steps().empty() ? 0.0 : run.steps().back();
  const double tokens_of_step = run.setting("batch_size") * run.setting("seq_len");
  const double wanted = run.setting("steps");
  std::vector<double> speeds = finite(run.values(Metric::TokensPerSecond));
  double seconds = 0.0;
  for (const double speed : speeds) seconds += speed > 0.0 ? tokens_of_step / speed : 0.0;
  const auto middle = speeds.begin() + static_cast<std::ptrdiff_t>(speeds.size() / 2);
  if (!speeds.empty()) std::nth_element(speeds.begin(), middle, speeds.end());
  const bool begins_late = !run.steps().empty() && run.steps().front() > 1.0;
  return {
      best_validation(run),
      final_loss(run),
      {"steps", grouped_text(last), wanted > 0.0 ? "of " + grouped_text(wanted) : ""},
      {"tokens seen", tokens_of_step > 0.0 ? count_text(last * tokens_of_step) : "none",
       tokens_of_step > 0.0 ? count_text(tokens_of_step) + " a step" : ""},
      {"training time", seconds > 0.0 ? duration_text(seconds) : "none",
       begins_late ? fmt::format("since step {:.0f}", run.steps().front()) : "without validations"},
      {"tokens per second", speeds.empty() ? "none" : number_text(*middle), "median"},
      utilization(finite(run.values(Metric::ModelFlopsUtilization))),
      skipped(run)};
}

}  // namespace shardgrad
