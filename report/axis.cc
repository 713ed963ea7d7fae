#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/number_text.h"

namespace shardgrad {
namespace {

// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
double round_spacing(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    // A little less, since the power is not exact.
    if (factor * power >= least * (1.0 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

Axis with_ticks(double low, double high, double spacing) {
  Axis axis{low, high, false, {}};
  const double tolerance = 1e-9 * spacing;
  for (double i = std::ceil((low - tolerance) / spacing); i * spacing <= high + tolerance; ++i)
    axis.ticks.push_back({i * spacing, tick_label(i * spacing, spacing)});
  return axis;
}

// Decimal places that tell multiples of `spacing` apart.
int decimals_for(double spacing) {
  return std::max(0, -static_cast<int>(std::floor(std::log10(spacing) + 1e-9)));
}

}  // namespace

double Axis::position(double value) const {
  if (!logarithmic) return (value - low) / (high - low);
  return std::log(value / low) / std::log(high / low);
}

Axis linear_axis(double low, double high, int most_ticks) {
  // So narrow that doubles hardly tell the ticks apart counts as no width.
  const double least = std::max(std::abs(low), std::abs(high)) * 1e-9;
  if (high - low <= least) {
    const double margin = low == 0.0 ? 1.0 : std::abs(low) * 0.1;
    low -= margin;
    high += margin;
  }
  return with_ticks(low, high, round_spacing((high - low) / most_ticks));
}

Axis integer_axis(double low, double high, int most_ticks) {
  if (low == high) {
    low -= 1.0;
    high += 1.0;
  }
  const double spacing = std::max(1.0, round_spacing((high - low) / most_ticks));
  Axis axis = with_ticks(low, high, spacing);
  for (Tick& tick : axis.ticks) {
    if (spacing < 1000.0) tick.label = grouped_text(tick.value);
  }
  return axis;
}

Axis logarithmic_axis(double low, double high, int most_ticks) {
  if (low == high) {
    low /= 2.0;
    high *= 2.0;
  }
  const double decades = std::log10(high / low);
  const int stride = std::max(1, static_cast<int>(std::ceil(decades / most_ticks)));
  const bool between = 3.0 * decades <= most_ticks;
  Axis axis{low, high, true, {}};
  const int last = static_cast<int>(std::floor(std::log10(high) + 1e-9));
  for (int k = static_cast<int>(std::floor(std::log10(low))); k <= last; ++k) {
    if (k % stride != 0) continue;
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double value = factor * std::pow(10.0, k);
      if (factor > 1.0 && !between) continue;
      if (value < low * (1.0 - 1e-9) || value > high * (1.0 + 1e-9)) continue;
      axis.ticks.push_back({value, tick_label(value, value)});
    }
  }
  return axis;
}

std::string tick_label(double value, double spacing) {
  if (std::abs(value) < 1e-9 * spacing) return "0";
  const double size = std::abs(value);
  if ((spacing < 1e-4 && size < 1e-2) || size >= 1e15) {
    // 1.5e-5: as many digits as tell 1.5e-5 and 1.0e-5 apart.
    const int exponent = static_cast<int>(std::floor(std::log10(size) + 1e-9));
    const double power = std::pow(10.0, exponent);
    return fmt::format("{:.{}f}e{}", value / power, decimals_for(spacing / power), exponent);
  }
  const char* const suffixes[] = {"", "k", "M", "G", "T"};
  int thousands = 0;
  double unit = 1.0;
  while (thousands < 4 && size >= 1000.0 * unit * (1.0 - 1e-9)) {
    unit *= 1000.0;
    ++thousands;
  }
  return fmt::format("{:.{}f}{}", value / unit, decimals_for(spacing / unit), suffixes[thousands]);
}

}  // namespace shardgrad
