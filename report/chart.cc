#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "report/axis.h"
#include "report/html.h"

namespace shardgrad {
namespace {

constexpr std::size_t kMostPoints = 1000;
constexpr int kMostTicksX = 7, kMostTicksY = 6, kMostTicksLogarithmic = 9;

// Of so few, each is seen.
constexpr std::size_t kFewPoints = 30;

// The picture is 1000 x 1000, and stretched to its place.
constexpr double kSize = 1000.0;
constexpr double kMarkHeight = 30.0;

// Of y, more room than the curves need.
constexpr double kMargin = 0.04;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;

  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

struct Axes {
  Axis x, y;

  // In the picture, where y points down.
  double across(double value) const { return kSize * x.position(value); }
  double down(double value) const { return kSize * (1.0 - y.position(value)); }
};

Axis axis_of_y(const Chart& chart, Range range) {
  if (chart.may_be_logarithmic && range.low > 0.0 && range.high >= 100.0 * range.low) {
    const double margin = std::pow(range.high / range.low, kMargin);
    return logarithmic_axis(range.low / margin, range.high * margin, kMostTicksLogarithmic);
  }
  if (chart.from_zero) range.include(0.0);
  const double margin = kMargin * (range.high - range.low);
  const double below = chart.from_zero && range.low == 0.0 ? 0.0 : margin;
  const auto make_axis = chart.whole ? integer_axis : linear_axis;
  return make_axis(range.low - below, range.high + margin, kMostTicksY);
}

Axes axes_of(const Chart& chart) {
  Range x, y;
  for (const ChartLine& line : chart.lines) {
    for (std::size_t i = 0; i < line.curve.size(); ++i) {
      x.include(line.curve.x[i]);
      if (line.style != LineStyle::Marks) y.include(line.curve.y[i]);
    }
  }
  if (y.low > y.high) y = {0.0, 1.0};  // marks alone
  return {integer_axis(x.low, x.high, kMostTicksX), axis_of_y(chart, y)};
}

// A subpath for each part without gaps. One that is a single point gets a length, so that its ends
// are drawn.
std::string path_of(const Curve& curve, const Axes& axes) {
  std::string path;
  bool drawing = false;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (!std::isfinite(curve.y[i])) {
      drawing = false;
      continue;
    }
    const bool alone = !drawing && (i + 1 == curve.size() || !std::isfinite(curve.y[i + 1]));
    path += fmt::format("{}{:.1f} {:.1f}{}", drawing ? "L" : "M", axes.across(curve.x[i]),
                        axes.down(curve.y[i]), alone ? "h0" : "");
    drawing = true;
  }
  return path;
}

std::string dots_of(const Curve& curve, const Axes& axes) {
  std::string path;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (!std::isfinite(curve.y[i])) continue;
    path += fmt::format("M{:.1f} {:.1f}h0", axes.across(curve.x[i]), axes.down(curve.y[i]));
  }
  return path;
}

std::string marks_of(const Curve& curve, const Axes& axes) {
  std::string path;
  double last = -kSize;
  for (const double x : curve.x) {
    const double at = axes.across(x);
    if (at - last < 1.0) continue;  // as fine as it can be seen
    path += fmt::format("M{:.1f} {}v-{}", at, kSize, kMarkHeight);
    last = at;
  }
  return path;
}

std::string line_svg(const ChartLine& line, const Axes& axes) {
  const auto path = [&](const char* kind, const std::string& data) {
    return fmt::format("<path class=\"{} color{}\" d=\"{}\"/>\n", kind, line.color % kColorCount,
                       data);
  };
  switch (line.style) {
    case LineStyle::Solid:
      return path("line", path_of(line.curve, axes)) +
             (line.curve.size() <= kFewPoints ? path("dots", dots_of(line.curve, axes)) : "");
    case LineStyle::Faint:
      return path("line faint", path_of(line.curve, axes));
    case LineStyle::Dashed:
      return path("line dashed", path_of(line.curve, axes)) +
             (line.curve.size() <= kFewPoints ? path("dots", dots_of(line.curve, axes)) : "");
    case LineStyle::Marks:
      return path("marks", marks_of(line.curve, axes));
  }
  return "";
}

std::string grid_svg(const Axes& axes) {
  std::string path;
  for (const Tick& tick : axes.x.ticks)
    path += fmt::format("M{:.1f} 0V{}", axes.across(tick.value), kSize);
  for (const Tick& tick : axes.y.ticks)
    path += fmt::format("M0 {:.1f}H{}", axes.down(tick.value), kSize);
  return "<path class=\"grid\" d=\"" + path + "\"/>\n";
}

std::string tick_labels(const Axes& axes) {
  std::string html;
  for (const Tick& tick : axes.y.ticks) {
    html += fmt::format("<span class=\"tick y\" style=\"top:{:.2f}%\">{}</span>\n",
                        axes.down(tick.value) / 10.0, tick.label);
  }
  for (const Tick& tick : axes.x.ticks) {
    html += fmt::format("<span class=\"tick x\" style=\"left:{:.2f}%\">{}</span>\n",
                        axes.across(tick.value) / 10.0, tick.label);
  }
  return html;
}

const char* kind_of(LineStyle style) {
  switch (style) {
    case LineStyle::Solid:
      return "line";
    case LineStyle::Faint:
      return "line faint";
    case LineStyle::Dashed:
      return "line dashed";
    case LineStyle::Marks:
      return "marks";
  }
  return "";
}

std::string legend(const Chart& chart) {
  if (chart.lines.size() == 1 && chart.lines.front().name == chart.title) return "";
  std::string html = "<ul class=\"legend\">\n";
  for (const ChartLine& line : chart.lines) {
    if (!line.in_legend) continue;
    html += fmt::format(
        "<li><svg class=\"key\" viewBox=\"0 0 24 8\"><path class=\"{} color{}\" d=\"{}\"/></svg>"
        "{}</li>\n",
        kind_of(line.style), line.color % kColorCount,
        line.style == LineStyle::Marks ? "M12 8V0" : "M1 4H23", html_escaped(line.name));
  }
  return html + "</ul>\n";
}

// What script.js reads. A "<" would end the element.
std::string points_json(const Chart& chart, const Axes& axes) {
  std::string lines;
  for (const ChartLine& line : chart.lines) {
    if (line.style == LineStyle::Marks) continue;
    std::string x, y;
    for (std::size_t i = 0; i < line.curve.size(); ++i) {
      if (!std::isfinite(line.curve.y[i])) continue;
      const char* const comma = x.empty() ? "" : ",";
      x += fmt::format("{}{:.0f}", comma, line.curve.x[i]);
      y += fmt::format("{}{:.6g}", comma, line.curve.y[i]);
    }
    const std::string name =
        nlohmann::json(line.name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    lines += fmt::format("{}{{\"name\":{},\"color\":{},\"x\":[{}],\"y\":[{}]}}",
                         lines.empty() ? "" : ",\n", name, line.color % kColorCount, x, y);
  }
  std::string json =
      fmt::format("{{\"x\":[{},{}],\"y\":[{},{}],\"logarithmic\":{},\"lines\":[\n{}]}}", axes.x.low,
                  axes.x.high, axes.y.low, axes.y.high, axes.y.logarithmic, lines);
  for (auto at = json.find('<'); at != std::string::npos; at = json.find('<', at))
    json.replace(at, 1, "\\u003c");
  return json;
}

}  // namespace

bool has_points(const Curve& curve) {
  return std::any_of(curve.y.begin(), curve.y.end(), [](double y) { return std::isfinite(y); });
}

std::string chart_html(const Chart& whole) {
  Chart chart = whole;
  chart.lines.clear();
  for (const ChartLine& line : whole.lines) {
    const bool marks = line.style == LineStyle::Marks;
    if (marks ? line.curve.size() == 0 : !has_points(line.curve)) continue;
    chart.lines.push_back(line);
    if (!marks) chart.lines.back().curve = decimated(line.curve, kMostPoints);
  }
  if (chart.lines.empty()) return "";
  const Axes axes = axes_of(chart);
  std::string html = fmt::format(
      "<figure class=\"chart{}\">\n<figcaption>{} <small>{}{}</small></figcaption>\n{}"
      "<div class=\"plot\">\n<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" "
      "role=\"img\" aria-label=\"{} over the steps\">\n",
      chart.wide ? " wide" : "", html_escaped(chart.title), html_escaped(chart.unit),
      axes.y.logarithmic ? ", logarithmic" : "", legend(chart), html_escaped(chart.title));
  html += grid_svg(axes);
  for (const ChartLine& line : chart.lines) html += line_svg(line, axes);
  return html + "</svg>\n" + tick_labels(axes) + "<span class=\"axis\">step</span>\n</div>\n" +
         "<script type=\"application/json\">" + points_json(chart, axes) + "</script>\n</figure>\n";
}

}  // namespace shardgrad
