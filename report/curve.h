// Curves, and how they become small enough to be drawn.
#pragma once

#include <cstddef>
#include <vector>

namespace shardgrad {

/// Points in the order of x. Where y is not finite there is no point, and the line has a gap.
struct Curve {
  std::vector<double> x, y;

  std::size_t size() const { return x.size(); }
  void add(double at, double value) {
    x.push_back(at);
    y.push_back(value);
  }
};

/// `curve` by at most `most_points` of its points, at least 4: the range of x is cut into equal
/// parts, of each of which the lowest and the highest point stay, so that no spike is lost; and the
/// first and the last point. A part without a finite point is a gap. A curve that is small enough
/// stays as it is.
Curve decimated(const Curve& curve, std::size_t most_points);

/// The mean of the finite points of `curve` around each, weighted by d^k at a distance of k points,
/// where d = 1 - 2 / (window + 1) makes the weights of all add up to `window`, at least 1. It lags
/// behind nowhere; at the last point it is the exponential moving average. Gaps stay.
Curve smoothed(const Curve& curve, double window);

}  // namespace shardgrad
