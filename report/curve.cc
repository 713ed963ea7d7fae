#include "report/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

// Adds what represents the points [begin, end) of `curve`.
void add_part(const Curve& curve, std::size_t begin, std::size_t end, Curve& result) {
  std::size_t lowest = end, highest = end;
  for (std::size_t i = begin; i < end; ++i) {
    if (!std::isfinite(curve.y[i])) continue;
    if (lowest == end || curve.y[i] < curve.y[lowest]) lowest = i;
    if (highest == end || curve.y[i] > curve.y[highest]) highest = i;
  }
  if (lowest == end) {
    result.add(curve.x[begin], kGap);
    return;
  }
  const std::size_t first = std::min(lowest, highest), second = std::max(lowest, highest);
  result.add(curve.x[first], curve.y[first]);
  if (second != first) result.add(curve.x[second], curve.y[second]);
}

}  // namespace

Curve decimated(const Curve& curve, std::size_t most_points) {
  require(most_points >= 4, "decimated", "most_points {} is below 4", most_points);
  if (curve.size() <= most_points) return curve;
  const std::size_t parts = (most_points - 2) / 2, last = curve.size() - 1;
  const double left = curve.x[1], width = curve.x[last - 1] - left;
  Curve result;
  result.add(curve.x[0], curve.y[0]);
  for (std::size_t begin = 1; begin < last;) {
    const auto part_of = [&](std::size_t i) {
      return std::min(parts - 1, static_cast<std::size_t>((curve.x[i] - left) / width *
                                                          static_cast<double>(parts)));
    };
    std::size_t end = begin + 1;
    while (end < last && part_of(end) == part_of(begin)) ++end;
    add_part(curve, begin, end, result);
    begin = end;
  }
  result.add(curve.x[last], curve.y[last]);
  return result;
}

Curve smoothed(const Curve& curve, double window) {
  require(window >= 1.0, "smoothed", "window {} is below 1", window);
  const double decay = 1.0 - 2.0 / (window + 1.0);
  const std::size_t count = curve.size();
  // Of each point and those before it, then also of those after it.
  std::vector<double> sums(count), weights(count);
  double sum = 0.0, weight = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(curve.y[i])) continue;
    sums[i] = sum = decay * sum + curve.y[i];
    weights[i] = weight = decay * weight + 1.0;
  }
  sum = weight = 0.0;
  Curve result{curve.x, std::vector<double>(count, kGap)};
  for (std::size_t i = count; i-- > 0;) {
    if (!std::isfinite(curve.y[i])) continue;
    sum *= decay;
    weight *= decay;
    result.y[i] = (sums[i] + sum) / (weights[i] + weight);
    sum += curve.y[i];
    weight += 1.0;
  }
  return result;
}

}  // namespace shardgrad
