#include "report/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "files/whole_file.h"
#include "report/summary.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

namespace fs = std::filesystem;

class RunRecordTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/RunRecordTest." +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write("config.json",
          R"({"preset": "nano", "batch_size": 4, "lr": 2.3999999999999997e-05, "tf32": false})");
    write("metrics.jsonl", kMetrics);
  }

  void write(const std::string& name, const std::string& text) const {
    write_whole_file(folder_ + "/" + name, text);
  }

  /// The error that reading the run gives with `text` in `name`.
  std::string error_with(const std::string& name, const std::string& text) const {
    write(name, text);
    return error_of([&] { read_run_record(folder_); });
  }

  static constexpr const char* kMetrics =
      "{\"step\":1,\"loss\":5.5,\"lr\":0.001,\"new\":[1]}\n"
      "{\"step\":2,\"lr\":0.002,\"skipped_steps\":1,\"val_loss\":5.25}\n"
      "{\"step\":4,\"loss\":4,\"mfu\":0.5}\n";

  std::string folder_;
};

TEST_F(RunRecordTest, ReadsWhatARunHasWritten) {
  write("samples.jsonl",
        "{\"step\":2,\"text\":\"a\"}\n{\"step\":4,\"text\":\"b\"}\n{\"step\":4,\"text\":\"c\"}\n");
  const RunRecord run = read_run_record(folder_ + "/");
  EXPECT_EQ(run.name(), "RunRecordTest.ReadsWhatARunHasWritten");
  EXPECT_THAT(run.settings(), ElementsAre(Pair("preset", "nano"), Pair("batch_size", "4"),
                                          Pair("lr", "2.4e-05"), Pair("tf32", "false")));
  EXPECT_EQ(run.setting("batch_size"), 4.0);
  EXPECT_EQ(run.setting("seq_len"), 0.0);
  EXPECT_THAT(run.steps(), ElementsAre(1, 2, 4));
  const std::vector<double>& loss = run.values(Metric::Loss);
  EXPECT_EQ(loss[0], 5.5);
  EXPECT_TRUE(std::isnan(loss[1]));
  EXPECT_EQ(loss[2], 4.0);
  EXPECT_EQ(run.values(Metric::ValidationLoss)[1], 5.25);
  EXPECT_EQ(run.values(Metric::SkippedSteps)[1], 1.0);
  EXPECT_EQ(run.values(Metric::ModelFlopsUtilization)[2], 0.5);
  ASSERT_EQ(run.samples().size(), 2u);
  EXPECT_EQ(run.samples()[0].text, "a");
  EXPECT_EQ(run.samples()[1].text, "c");
}

TEST_F(RunRecordTest, ALineThatIsBeingWrittenIsLeftOut) {
  write("metrics.jsonl", std::string(kMetrics) + "{\"step\":5,\"lo");
  EXPECT_THAT(read_run_record(folder_).steps(), ElementsAre(1, 2, 4));
  write("metrics.jsonl", "");
  EXPECT_EQ(read_run_record(folder_).steps().size(), 0u);
}

TEST_F(RunRecordTest, WhatIsMalformedIsAnErrorWithItsLine) {
  const std::string good = kMetrics, place = "line 4 of " + folder_ + "/metrics.jsonl";
  const auto error = [&](const std::string& line) {
    return error_with("metrics.jsonl", good + line + "\n" + "{\"step\":9}\n");
  };
  EXPECT_THAT(error("{\"step\":5,"), HasSubstr(place + " is not valid JSON at offset"));
  EXPECT_THAT(error(""), HasSubstr(place + " is not valid JSON"));
  EXPECT_THAT(error("[5]"), HasSubstr(place + " is no object with a \"step\""));
  EXPECT_THAT(error("{\"loss\":5}"), HasSubstr(place + " is no object with a \"step\""));
  EXPECT_THAT(error("{\"step\":5.5}"), HasSubstr(place + " is no object with a \"step\""));
  EXPECT_THAT(error("{\"step\":4}"), HasSubstr(place + " is of step 4, after one of step 4"));
  EXPECT_THAT(error("{\"step\":-4}"), HasSubstr(place + " is of step -4; expected 0 to"));
  EXPECT_THAT(error("{\"step\":5,\"loss\":\"x\"}"),
              HasSubstr(place + " has a \"loss\" that is no number"));
  EXPECT_THAT(error("{\"step\":5,\"loss\":1e999}"),
              HasSubstr(place + " holds JSON, from offset 0, that cannot be read"));
}

TEST_F(RunRecordTest, OtherFilesLikewise) {
  EXPECT_THAT(error_with("samples.jsonl", "{\"step\":1}\n"),
              HasSubstr("line 1 of " + folder_ + "/samples.jsonl has no \"text\""));
  EXPECT_THAT(
      error_with("samples.jsonl", "{\"step\":2,\"text\":\"\"}\n{\"step\":1,\"text\":\"\"}\n"),
      HasSubstr("samples.jsonl is of step 1, after one of step 2"));
  EXPECT_THAT(error_with("config.json", "[]"), HasSubstr("config.json is no object of settings"));
  EXPECT_THAT(error_with("config.json", "{"), HasSubstr("config.json is not valid JSON at offset"));
  fs::remove(folder_ + "/config.json");
  EXPECT_THAT(error_of([&] { read_run_record(folder_); }),
              HasSubstr("cannot open " + folder_ + "/config.json: No such file"));
  write("config.json", "{}");
  fs::remove(folder_ + "/metrics.jsonl");
  EXPECT_THAT(error_of([&] { read_run_record(folder_); }),
              HasSubstr("cannot open " + folder_ + "/metrics.jsonl: No such file"));
}

std::string fact(const RunRecord& run, const std::string& name) {
  for (const Fact& fact : summary_of(run)) {
    if (fact.name == name) return fact.value + " | " + fact.detail;
  }
  return "no such fact";
}

TEST(SummaryTest, OfARun) {
  RunRecord run("run");
  run.set_settings({{"batch_size", 10}, {"seq_len", 100}, {"steps", 2000}}, "config");
  const double speeds[] = {100, 500, 1000}, validations[] = {3.0, 2.5, 2.75};
  for (int i = 0; i < 3; ++i) {
    run.add_step({{"step", i + 1},
                  {"loss", 4 - i},
                  {"val_loss", validations[i]},
                  {"tokens_per_second", speeds[i]},
                  {"skipped_steps", 2},
                  {"mfu", 0.4}},
                 "line");
  }
  run.add_step({{"step", 4}}, "line");  // nothing was finite
  EXPECT_EQ(fact(run, "best validation loss"), "2.5000 | after step 2");
  EXPECT_EQ(fact(run, "training loss"), "2.0000 | at the end, smoothed");
  EXPECT_EQ(fact(run, "steps"), "4 | of 2,000");
  EXPECT_EQ(fact(run, "tokens seen"), "4,000 | 1,000 a step");
  EXPECT_EQ(fact(run, "training time"), "13 s | without validations");  // 10 + 2 + 1
  EXPECT_EQ(fact(run, "tokens per second"), "500 | median");
  EXPECT_EQ(fact(run, "flops utilization"), "40.0 % | mean");
  EXPECT_EQ(fact(run, "skipped steps"), "2 | changed no parameter");
}

TEST(SummaryTest, OfARunThatSaysLittle) {
  RunRecord run("run");
  run.add_step({{"step", 7}}, "line");
  EXPECT_EQ(fact(run, "best validation loss"), "none | ");
  EXPECT_EQ(fact(run, "tokens seen"), "none | ");
  EXPECT_EQ(fact(run, "training time"), "none | since step 7");
  EXPECT_EQ(fact(run, "skipped steps"), "0 | changed no parameter");
  run.add_step({{"step", 8}, {"loss", 1.25e18}}, "line");
  EXPECT_EQ(fact(run, "training loss"), "1.25e+18 | at the end, smoothed");
}

}  // namespace
}  // namespace shardgrad
