// The axes of a chart.
#pragma once

#include <string>
#include <vector>

namespace shardgrad {

/// A round number on an axis.
struct Tick {
  double value;
  std::string label;
};

/// A range of numbers along an edge of a chart.
struct Axis {
  double low, high;
  bool logarithmic;
  std::vector<Tick> ticks;  ///< within the range, in rising order

  /// Where `value` is: 0 at `low`, 1 at `high`.
  double position(double value) const;
};

/// An axis from `low` to `high`, both finite, with up to `most_ticks` ticks, at least 2, at
/// multiples of 1, 2 or 5 times a power of ten. A range of no width is widened.
Axis linear_axis(double low, double high, int most_ticks);

/// The same for whole numbers, such as steps: so are its ticks, which have all their digits where
/// they are no multiples of 1,000.
Axis integer_axis(double low, double high, int most_ticks);

/// An axis on which equal ratios are equally long; 0 < low <= high. Ticks are powers of ten, all or
/// every few, and where these are few, 2 and 5 times them.
Axis logarithmic_axis(double low, double high, int most_ticks);

/// `value` as the label of a tick where neighbours differ by `spacing`: no more digits than tell
/// them apart, k, M, G and T for thousands and more, and a power of ten for what is tiny.
std::string tick_label(double value, double spacing);

}  // namespace shardgrad
