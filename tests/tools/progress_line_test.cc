// What a training run shows in the columns that there are.
#include "tools/progress_line.h"

#include <gtest/gtest.h>

#include <limits>

namespace shardgrad {
namespace {

StepMetrics metrics() {
  StepMetrics metrics;
  metrics.step = 700;
  metrics.loss = 1.20456;
  metrics.learning_rate = 1.2e-3;
  metrics.gradient_norm = 0.6094;
  metrics.tokens_per_second = 20261.4;
  metrics.model_flops_utilization = 0.7149;
  return metrics;
}

// Every code point of the line is one column wide.
std::size_t columns_of(const std::string& line) {
  std::size_t columns = 0;
  for (const char byte : line) columns += (byte & 0xc0) != 0x80 ? 1 : 0;
  return columns;
}

TEST(ProgressLine, OfAnyLengthHasEveryNumber) {
  EXPECT_EQ(progress_line(metrics(), 1400, "ETA 39 s"),
            "step  700/1400  loss 1.2046  lr 1.2e-03  norm 0.609  20261 tokens/s, 71 % of GEMM "
            "peak  ETA 39 s");
  StepMetrics skipped = metrics();
  skipped.skipped_steps = 3;
  skipped.gradient_norm = -std::numeric_limits<double>::quiet_NaN();
  skipped.model_flops_utilization.reset();
  EXPECT_EQ(progress_line(skipped, 1400, "took 2:20 min"),
            "step  700/1400  loss 1.2046  lr 1.2e-03  norm nan  skipped 3  20261 tokens/s  took "
            "2:20 min");
}

TEST(ProgressLine, OnATerminalFitsAndShowsHowFarItIs) {
  EXPECT_EQ(progress_line(metrics(), 1400, "ETA 39 s", 60),
            "step  700/1400  loss 1.2046  ━━━━━━━━────────  ETA 39 s");
  EXPECT_EQ(progress_line(metrics(), 1400, "ETA 39 s", 79),
            "step  700/1400  loss 1.2046  20261 tokens/s (71 %)  ━━━━━━━━────────  ETA 39 s");
  EXPECT_EQ(progress_line(metrics(), 1400, "ETA 39 s", 200),
            "step  700/1400  loss 1.2046  lr 1.2e-03  norm 0.609  20261 tokens/s (71 %)  "
            "━━━━━━━━━━━━────────────  ETA 39 s");
  for (std::size_t columns = 1; columns < 150; ++columns) {
    EXPECT_LE(columns_of(progress_line(metrics(), 1400, "ETA 39 s", columns)), columns);
  }
  EXPECT_EQ(progress_line(metrics(), 1400, "ETA 39 s", 20), "step  700/1400  loss");
}

}  // namespace
}  // namespace shardgrad
