#include "report/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace shardgrad {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> result;
  for (const Tick& tick : axis.ticks) result.push_back(tick.label);
  return result;
}

TEST(LinearAxisTest, TicksAreRound) {
  EXPECT_THAT(labels(linear_axis(0.0, 5.6, 6)), ElementsAre("0", "1", "2", "3", "4", "5"));
  EXPECT_THAT(labels(linear_axis(-0.3, 0.32, 4)), ElementsAre("-0.2", "0", "0.2"));
  EXPECT_THAT(labels(linear_axis(1.39, 1.44, 6)),
              ElementsAre("1.39", "1.40", "1.41", "1.42", "1.43", "1.44"));
  EXPECT_THAT(labels(linear_axis(0.0, 6e-4, 6)),
              ElementsAre("0", "0.0001", "0.0002", "0.0003", "0.0004", "0.0005", "0.0006"));
  EXPECT_THAT(labels(linear_axis(0.0, 1.6e-4, 4)), ElementsAre("0", "5e-5", "1.0e-4", "1.5e-4"));
  EXPECT_THAT(labels(linear_axis(0.0, 21000.0, 4)), ElementsAre("0", "10k", "20k"));
  EXPECT_THAT(labels(linear_axis(1.1e6, 1.9e6, 4)), ElementsAre("1.2M", "1.4M", "1.6M", "1.8M"));
}

TEST(LinearAxisTest, EveryRangeHasTicks) {
  for (const double size : {1e-300, 3e-12, 0.007, 1.0, 123.0, 4e9, 1e200}) {
    for (const double low : {-1.0, 0.0, 0.3}) {
      for (const double width : {0.0, 1e-12, 0.01, 0.37, 2.0}) {
        const Axis axis = linear_axis(low * size, (low + width) * size, 6);
        SCOPED_TRACE(testing::Message() << axis.low << " " << axis.high);
        EXPECT_GE(axis.ticks.size(), 2u);
        EXPECT_LE(axis.ticks.size(), 7u);
        EXPECT_LT(axis.low, axis.high);
        for (const Tick& tick : axis.ticks) {
          EXPECT_GE(axis.position(tick.value), -1e-6);
          EXPECT_LE(axis.position(tick.value), 1.0 + 1e-6);
        }
      }
    }
  }
}

// Neighbours must be told apart.
TEST(LinearAxisTest, LabelsDiffer) {
  for (double width = 1e-9; width < 1e12; width *= 1.7) {
    const Axis axis = linear_axis(3.0, 3.0 + width, 6);
    for (std::size_t i = 1; i < axis.ticks.size(); ++i)
      EXPECT_NE(axis.ticks[i].label, axis.ticks[i - 1].label) << width;
  }
}

TEST(IntegerAxisTest, TicksAreWholeSteps) {
  EXPECT_THAT(labels(integer_axis(1, 3, 7)), ElementsAre("1", "2", "3"));
  EXPECT_THAT(labels(integer_axis(1, 1, 7)), ElementsAre("0", "1", "2"));
  EXPECT_THAT(labels(integer_axis(1, 1400, 7)),
              ElementsAre("200", "400", "600", "800", "1,000", "1,200", "1,400"));
  EXPECT_THAT(labels(integer_axis(1, 1000000, 5)),
              ElementsAre("200k", "400k", "600k", "800k", "1.0M"));
}

TEST(LogarithmicAxisTest, TicksArePowersOfTen) {
  EXPECT_THAT(labels(logarithmic_axis(0.4, 60.0, 9)),
              ElementsAre("0.5", "1", "2", "5", "10", "20", "50"));
  EXPECT_THAT(labels(logarithmic_axis(1e-3, 1e4, 9)),
              ElementsAre("0.001", "0.01", "0.1", "1", "10", "100", "1k", "10k"));
  EXPECT_THAT(labels(logarithmic_axis(1e-12, 1e12, 6)),
              ElementsAre("1e-12", "1e-8", "0.0001", "1", "10k", "100M", "1T"));
  const Axis axis = logarithmic_axis(0.1, 1000.0, 9);
  EXPECT_DOUBLE_EQ(axis.position(0.1), 0.0);
  EXPECT_DOUBLE_EQ(axis.position(10.0), 0.5);
  EXPECT_DOUBLE_EQ(axis.position(1000.0), 1.0);
  EXPECT_GE(logarithmic_axis(7.0, 7.0, 9).ticks.size(), 1u);
}

}  // namespace
}  // namespace shardgrad
