// A chart as HTML with inline SVG.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "report/curve.h"

namespace shardgrad {

/// How a curve is drawn.
enum class LineStyle {
  Solid,
  Faint,   ///< behind the others, thin: the noise that a smoothed curve is the mean of
  Dashed,  ///< with a dot at each point where these are few
  Marks,   ///< a short stroke on the lower edge for each point, whatever its y
};

/// So many colours the page's style sheet has; then they begin again.
constexpr std::size_t kColorCount = 8;

/// A curve of a chart.
struct ChartLine {
  std::string name;
  Curve curve;
  LineStyle style = LineStyle::Solid;
  std::size_t color = 0;
  bool in_legend = true;
};

/// What a chart shows, over the steps of training.
struct Chart {
  std::string title;
  std::string unit;                 ///< may be empty
  std::vector<ChartLine> lines;     ///< those without a point are left out
  bool whole = false;               ///< whether y is a count
  bool from_zero = false;           ///< whether the axis of y begins there
  bool may_be_logarithmic = false;  ///< it is, when y is positive and spans a factor of 100 or more
  bool wide = false;                ///< over all columns of the page
};

/// Whether there is a finite point to be drawn.
bool has_points(const Curve& curve);

/// The chart as a <figure>, each curve by at most 1,000 points; "" if there is nothing to draw. Its
/// <script> has the points again, for who points at them: see script.js.
std::string chart_html(const Chart& chart);

}  // namespace shardgrad
