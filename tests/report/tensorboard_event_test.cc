// Comparison with a file that the TensorBoard library wrote: see make_tensorboard_golden.py.
#include "report/tensorboard_event.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <limits>

namespace shardgrad {
namespace {

std::string golden() {
  std::ifstream file("tests/report/tensorboard_golden.tfevents", std::ios::binary);
  EXPECT_TRUE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(TensorboardEventTest, SameBytesAsTheLibrary) {
  constexpr double kStart = 1700000000.125;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<std::string> events{
      file_version_event(kStart),
      session_start_event(kStart, 1),
      scalars_event(
          kStart + 1, 1,
          {{"loss/train", 5.545177444479562}, {"learning_rate", 0.0}, {"gradient_norm", -1e-42}}),
      scalars_event(kStart + 2, 3000000000,
                    {{"loss/train", kInfinity},
                     {"loss/validation", 1e35},
                     {"tokens_per_second", 123456789.0}}),
      text_event(kStart + 3, 0, "settings", "| a | b |\n|---|---|\n"),
      text_event(kStart + 4, 200, "sample",
                 "    na\xc3\xafve \xf0\x9f\x98\x80\n    " + std::string(300, 'x'))};
  const std::string expected = golden();
  std::size_t at = 0;
  for (const std::string& event : events) {
    const std::string record = tensorboard_record(event);
    EXPECT_TRUE(record == expected.substr(at, record.size())) << "at byte " << at;
    at += record.size();
  }
  EXPECT_EQ(at, expected.size());
}

}  // namespace
}  // namespace shardgrad
