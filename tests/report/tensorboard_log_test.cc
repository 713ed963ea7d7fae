#include "report/tensorboard_log.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>

#include "tests/report/read_events.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

namespace fs = std::filesystem;

class TensorboardLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/TensorboardLogTest." +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(folder_))
      result.push_back(entry.path().filename().string());
    std::sort(result.begin(), result.end());
    return result;
  }

  std::string folder_;
};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

TEST_F(TensorboardLogTest, IsReadWhileItGrows) {
  const double before = now();
  TensorboardLog log(folder_, 1);
  log.add_scalars(1, {{"loss/train", 2.5}, {"gradient_norm", NAN}});
  log.add_text(1, "sample", "    a");
  ASSERT_EQ(names().size(), 1u);
  const std::vector<ReadEvent> events = read_events(folder_ + "/" + names()[0]);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_TRUE(events[1].starts_session);
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events[2].scalars.at("loss/train"), 2.5f);
  EXPECT_TRUE(std::isnan(events[2].scalars.at("gradient_norm")));
  EXPECT_EQ(events[3].texts.at("sample"), "    a");
  for (const ReadEvent& event : events) {
    EXPECT_GE(event.wall_time, before);
    EXPECT_LE(event.wall_time, now());
  }
}

TEST_F(TensorboardLogTest, ALaterFileIsReadAfterTheEarlierOnes) {
  fs::create_directories(folder_);
  // Of a machine whose clock is ahead, with a name that follows the host's.
  const std::string ahead = "events.out.tfevents.4000000000.zzzz.1";
  LogFile(folder_ + "/" + ahead, "w");
  LogFile(folder_ + "/events.out.tfevents.of-something-else", "w");
  TensorboardLog first(folder_, 1), second(folder_, 7);
  const std::vector<std::string> all = names();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0], ahead);
  EXPECT_THAT(all[1], StartsWith("events.out.tfevents.4000000001."));
  EXPECT_THAT(all[2], StartsWith("events.out.tfevents.4000000002."));
  EXPECT_EQ(read_events(folder_ + "/" + all[2])[1].step, 7);
}

TEST_F(TensorboardLogTest, SaysWhyItCannotBeWritten) {
  fs::create_directories(folder_);
  LogFile(folder_ + "/file", "w");
  EXPECT_THAT(error_of([&] { TensorboardLog(folder_ + "/file/deeper", 1); }),
              HasSubstr("cannot make the folder " + folder_ + "/file/deeper: Not a directory"));
}

TEST(MarkdownTest, ShowsTextAsItIs) {
  EXPECT_EQ(markdown_code("a <b>\n\n# c"), "    a <b>\n    \n    # c");
  EXPECT_EQ(
      markdown_table({{"n_layers", "4"}, {"data", "a|b_*<c>\n&d"}}),
      "| setting | value |\n|---|---|\n| n\\_layers | 4 |\n| data | a\\|b\\_\\*&lt;c> &amp;d |\n");
}

}  // namespace
}  // namespace shardgrad
