#include "report/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Curve wave(std::size_t count) {
  Curve curve;
  for (std::size_t i = 0; i < count; ++i)
    curve.add(static_cast<double>(i + 1), std::sin(0.01 * static_cast<double>(i)));
  return curve;
}

TEST(DecimatedTest, SmallCurvesStay) {
  const Curve curve = wave(100);
  EXPECT_EQ(decimated(curve, 100).x, curve.x);
  EXPECT_EQ(decimated(curve, 100).y, curve.y);
}

TEST(DecimatedTest, SpikesEndsAndOrderStay) {
  for (const std::size_t count : {101u, 1000u, 99999u}) {
    for (const std::size_t most : {4u, 5u, 100u}) {
      Curve curve = wave(count);
      curve.y[count / 3] = 50.0;
      curve.y[count / 3 + 1] = -50.0;
      const Curve small = decimated(curve, most);
      EXPECT_LE(small.size(), most);
      EXPECT_GE(small.size(), most / 2);
      EXPECT_EQ(small.x.front(), 1.0);
      EXPECT_EQ(small.x.back(), static_cast<double>(count));
      EXPECT_EQ(*std::max_element(small.y.begin(), small.y.end()), 50.0);
      EXPECT_EQ(*std::min_element(small.y.begin(), small.y.end()), -50.0);
      EXPECT_TRUE(std::is_sorted(small.x.begin(), small.x.end()));
      for (std::size_t i = 0; i < small.size(); ++i)  // points of the curve, not others
        EXPECT_EQ(small.y[i], curve.y[static_cast<std::size_t>(small.x[i]) - 1]);
    }
  }
}

// Each part has its own lowest and highest point: compared with a search through all points.
TEST(DecimatedTest, EachPartHasItsExtremes) {
  const Curve curve = wave(1002);  // 1000 points between the ends, in 10 parts
  const Curve small = decimated(curve, 22);
  ASSERT_EQ(small.size(), 22u);
  for (std::size_t part = 0; part < 10; ++part) {
    const auto begin = curve.y.begin() + 1 + static_cast<std::ptrdiff_t>(100 * part);
    const auto [low, high] = std::minmax_element(begin, begin + 100);
    EXPECT_EQ(std::min(small.y[1 + 2 * part], small.y[2 + 2 * part]), *low) << part;
    EXPECT_EQ(std::max(small.y[1 + 2 * part], small.y[2 + 2 * part]), *high) << part;
  }
}

TEST(DecimatedTest, MissingPointsAreGaps) {
  Curve curve = wave(1000);
  for (std::size_t i = 500; i < 700; ++i) curve.y[i] = i % 2 == 0 ? NAN : INFINITY;
  curve.y[100] = NAN;  // among others
  const Curve small = decimated(curve, 42);
  bool gap = false;
  for (std::size_t i = 0; i < small.size(); ++i) {
    if (std::isfinite(small.y[i])) {
      EXPECT_TRUE(small.x[i] <= 500.0 || small.x[i] > 700.0) << small.x[i];
    } else {
      EXPECT_TRUE(small.x[i] > 500.0 && small.x[i] <= 700.0) << small.x[i];
      gap = true;
    }
  }
  EXPECT_TRUE(gap);
}

// Steps that are not evenly spaced: a part may have no point at all.
TEST(DecimatedTest, UnevenSteps) {
  Curve curve;
  for (int i = 0; i < 100; ++i) curve.add(i, i);
  for (int i = 0; i < 100; ++i) curve.add(1e6 + i, i);
  const Curve small = decimated(curve, 50);
  EXPECT_THAT(small.x, ElementsAre(0, 1, 99, 1e6, 1e6 + 98, 1e6 + 99));
}

TEST(DecimatedTest, TooFewPointsIsAnError) {
  EXPECT_THAT(error_of([] { decimated(wave(10), 3); }), HasSubstr("most_points 3 is below 4"));
}

TEST(SmoothedTest, IsTheWeightedMean) {
  Curve curve = wave(60);
  curve.y[0] = 7.0;
  curve.y[20] = NAN;
  const double window = 9.0, decay = 0.8;  // 1 - 2 / (9 + 1)
  const Curve smooth = smoothed(curve, window);
  EXPECT_EQ(smooth.x, curve.x);
  for (int i = 0; i < 60; ++i) {
    if (i == 20) {
      EXPECT_TRUE(std::isnan(smooth.y[20]));
      continue;
    }
    double sum = 0.0, weights = 0.0;
    for (int j = 0; j < 60; ++j) {
      if (j == 20) continue;  // does not count as a point between others
      const int distance = std::abs(i - j) - ((i < 20) != (j < 20) ? 1 : 0);
      sum += std::pow(decay, distance) * curve.y[static_cast<std::size_t>(j)];
      weights += std::pow(decay, distance);
    }
    EXPECT_NEAR(smooth.y[static_cast<std::size_t>(i)], sum / weights, 1e-12) << i;
  }
}

TEST(SmoothedTest, AWindowOfOneChangesNothing) {
  EXPECT_EQ(smoothed(wave(10), 1.0).y, wave(10).y);
  EXPECT_THAT(error_of([] { smoothed(wave(10), 0.5); }), HasSubstr("window 0.5 is below 1"));
}

}  // namespace
}  // namespace shardgrad
