#include "report/run_charts.h"

#include <fmt/format.h>

#include <cmath>

#include "report/number_text.h"
#include "report/summary.h"

namespace shardgrad {
namespace {

// The finite points alone, so that a line connects them.
Curve without_gaps(const Curve& curve) {
  Curve result;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (std::isfinite(curve.y[i])) result.add(curve.x[i], curve.y[i]);
  }
  return result;
}

// The points that are none.
Curve gaps_of(const Curve& curve) {
  Curve result;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (!std::isfinite(curve.y[i])) result.add(curve.x[i], curve.y[i]);
  }
  return result;
}

// "loss", or with several runs "name: loss".
std::string line_name(const std::vector<RunRecord>& runs, const RunRecord& run,
                      const std::string& what) {
  if (runs.size() == 1) return what;
  return what.empty() ? run.name() : run.name() + ": " + what;
}

// Where each step should have a number, and has none.
void add_marks(const std::vector<RunRecord>& runs, Metric metric, Chart& chart) {
  for (const RunRecord& run : runs) {
    const Curve gaps = gaps_of(run.curve(metric));
    const std::string name =
        fmt::format("not finite at {} step{}", count_text(static_cast<double>(gaps.size())),
                    gaps.size() == 1 ? "" : "s");
    chart.lines.push_back({line_name(runs, run, name), gaps, LineStyle::Marks, 0});
  }
}

Chart loss_chart(const std::vector<RunRecord>& runs) {
  const bool one = runs.size() == 1;
  Chart chart{"Loss", "nats per token", {}};
  chart.may_be_logarithmic = chart.wide = true;
  if (!one) chart.unit += "; faint: each step, dashed: validation";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto add = [&](const char* name, const Curve& curve, LineStyle style, std::size_t color,
                         bool in_legend) {
      chart.lines.push_back({line_name(runs, runs[i], name), curve, style, color, in_legend});
    };
    const Curve loss = runs[i].curve(Metric::Loss);
    const double window = smoothing_window(runs[i]);
    if (window > 1.0) add("training", loss, LineStyle::Faint, i, one);
    add(one ? window > 1.0 ? "training, smoothed" : "training" : "",
        window > 1.0 ? smoothed(loss, window) : loss, LineStyle::Solid, i, true);
    add("validation", without_gaps(runs[i].curve(Metric::ValidationLoss)), LineStyle::Dashed,
        one ? 1 : i, one);
  }
  add_marks(runs, Metric::Loss, chart);
  return chart;
}

Chart simple_chart(const std::vector<RunRecord>& runs, Metric metric, const char* title,
                   const char* unit) {
  Chart chart{title, unit, {}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Curve curve = runs[i].curve(metric);
    chart.lines.push_back(
        {line_name(runs, runs[i], runs.size() == 1 ? title : ""), curve, LineStyle::Solid, i});
  }
  return chart;
}

// Before there is something to count, nothing is recorded.
void count_from_zero(Chart& chart) {
  chart.whole = true;
  for (ChartLine& line : chart.lines) {
    if (!has_points(line.curve)) continue;
    for (double& count : line.curve.y) {
      if (!std::isfinite(count)) count = 0.0;
    }
  }
}

}  // namespace

std::vector<Chart> charts_of(const std::vector<RunRecord>& runs) {
  std::vector<Chart> charts{
      loss_chart(runs),
      simple_chart(runs, Metric::LearningRate, "Learning rate", ""),
      simple_chart(runs, Metric::GradientNorm, "Gradient norm", "before clipping"),
      simple_chart(runs, Metric::TokensPerSecond, "Throughput", "tokens per second"),
      simple_chart(runs, Metric::ModelFlopsUtilization, "Model flops utilization",
                   "share of the measured rate of matrix products"),
      simple_chart(runs, Metric::SkippedSteps, "Skipped steps", "so far")};
  for (Chart& chart : charts) chart.from_zero = !chart.may_be_logarithmic;
  count_from_zero(charts.back());
  Chart& norm = charts[2];
  norm.may_be_logarithmic = true;
  add_marks(runs, Metric::GradientNorm, norm);
  return charts;
}

}  // namespace shardgrad
