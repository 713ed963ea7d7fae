#include "report/number_text.h"

#include <gtest/gtest.h>

#include <cmath>

namespace shardgrad {
namespace {

TEST(NumberTextTest, Grouped) {
  EXPECT_EQ(grouped_text(0), "0");
  EXPECT_EQ(grouped_text(999), "999");
  EXPECT_EQ(grouped_text(1000), "1,000");
  EXPECT_EQ(grouped_text(-123), "-123");
  EXPECT_EQ(grouped_text(-1234567), "-1,234,567");
  EXPECT_EQ(grouped_text(1e300), "1e+300");
}

TEST(NumberTextTest, Durations) {
  EXPECT_EQ(duration_text(0.4), "0 s");
  EXPECT_EQ(duration_text(59.6), "1:00 min");
  EXPECT_EQ(duration_text(754), "12:34 min");
  EXPECT_EQ(duration_text(3720), "1:02 h");
  EXPECT_EQ(duration_text(51 * 3600), "2 d 3 h");
}

TEST(NumberTextTest, Numbers) {
  EXPECT_EQ(number_text(1.39928), "1.399");
  EXPECT_EQ(number_text(20261.4), "20,261");
  EXPECT_EQ(number_text(NAN), "none");
}

TEST(NumberTextTest, Counts) {
  EXPECT_EQ(count_text(2048), "2,048");
  EXPECT_EQ(count_text(99949), "99,949");
  EXPECT_EQ(count_text(99950), "100k");
  EXPECT_EQ(count_text(2867200), "2.87M");
  EXPECT_EQ(count_text(9996000), "10.0M");
  EXPECT_EQ(count_text(999600000), "1.00G");
  EXPECT_EQ(count_text(3e15), "3000T");
}

}  // namespace
}  // namespace shardgrad
