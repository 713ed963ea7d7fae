// What a training run leaves for people to look at: report.html and TensorBoard's files; and the
// program that compares runs.
#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "tests/report/read_events.h"
#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

using Arguments = std::vector<std::string>;

class ReportTest : public ToolTest {
 protected:
  std::string train(const Arguments& arguments) const {
    const Result result = run("train", arguments, folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  bool exists(const std::string& name) const { return std::filesystem::exists(path(name)); }

  std::vector<json> metrics(const std::string& out) const {
    std::vector<json> result;
    for (const std::string& line : lines(content(path(out) + "/metrics.jsonl")))
      result.push_back(json::parse(line));
    return result;
  }

  /// The events of each file of a run, in the order of their names.
  std::vector<std::vector<ReadEvent>> events(const std::string& out) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(out) + "/tensorboard"))
      names.push_back(entry.path().string());
    std::sort(names.begin(), names.end());
    std::vector<std::vector<ReadEvent>> result;
    for (const std::string& name : names) result.push_back(read_events(name));
    return result;
  }

  /// What the program makes of the run later, from its files alone.
  std::string made_later(const std::string& out) const {
    const Result result = run("report", {out, "--out=later.html"}, folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "wrote later.html\n");
    return content(path("later.html"));
  }

  /// That the events of steps are those of the metrics from `first_step` on.
  static void expect_same(const std::vector<ReadEvent>& events, const std::vector<json>& metrics,
                          std::int64_t first_step) {
    const std::map<std::string, std::string> tags{{"loss", "loss/train"},
                                                  {"val_loss", "loss/validation"},
                                                  {"lr", "learning_rate"},
                                                  {"grad_norm", "gradient_norm"},
                                                  {"skipped_steps", "skipped_steps"},
                                                  {"spiked_steps", "spiked_steps"},
                                                  {"mfu", "model_flops_utilization"},
                                                  {"tokens_per_second", "tokens_per_second"}};
    std::size_t at = static_cast<std::size_t>(first_step - 1);
    for (const ReadEvent& event : events) {
      if (event.scalars.empty()) continue;
      ASSERT_LT(at, metrics.size());
      const json& line = metrics[at++];
      EXPECT_EQ(event.step, line["step"]);
      std::map<std::string, float> expected;
      for (const auto& [key, value] : line.items()) {
        if (key != "step") expected[tags.at(key)] = value.get<float>();
      }
      EXPECT_EQ(event.scalars, expected);
    }
    EXPECT_EQ(at, metrics.size());
  }
};

TEST_F(ReportTest, ShowsTheRun) {
  for (const char* tp : {"--tp=1", "--tp=2"}) {
    std::filesystem::remove_all(path("out"));
    const std::string printed = train(tiny({"--out=out", "--sample-interval=0", tp}));
    EXPECT_THAT(printed,
                HasSubstr("wrote out/config.json, metrics.jsonl, tensorboard, report.html"));
    const std::vector<std::vector<ReadEvent>> files = events("out");
    ASSERT_EQ(files.size(), 1u) << "one rank writes";
    expect_same(files[0], metrics("out"), 1);
    EXPECT_EQ(files[0][0].file_version, "brain.Event:2");
    EXPECT_TRUE(files[0][1].starts_session);
    EXPECT_EQ(files[0][1].step, 1);
    EXPECT_THAT(files[0][2].texts.at("settings"), HasSubstr("| d\\_model | 32 |\n"));
    const json sample = json::parse(content(path("out/samples.jsonl")));
    EXPECT_EQ(files[0].back().step, 4);
    EXPECT_EQ(
        files[0].back().texts.at("sample"),
        "    " + std::regex_replace(sample["text"].get<std::string>(), std::regex("\n"), "\n    "));
    const std::string page = content(path("out/report.html"));
    EXPECT_THAT(page, HasSubstr("<title>out</title>"));
    EXPECT_THAT(page, HasSubstr("<dt>d_model</dt><dd>32</dd>"));
    EXPECT_THAT(page, HasSubstr("<summary>after step 4</summary><pre>"));
    EXPECT_EQ(page, made_later("out"));
    EXPECT_FALSE(exists("out/report.html.partial"));
  }
}

TEST_F(ReportTest, OfAResumedRunHasAllSteps) {
  train(tiny({"--out=out", "--save-interval=4", "--steps=6", "--keep-checkpoints=0",
              "--sample-interval=0"}));
  std::filesystem::remove_all(path("out/checkpoints/step-000006"));  // as if it had been killed
  train({"--resume=out", "--steps=8"});
  const std::vector<json> all = metrics("out");
  ASSERT_EQ(all.size(), 8u);
  const std::vector<std::vector<ReadEvent>> files = events("out");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].back().step, 6);
  EXPECT_TRUE(files[1][1].starts_session);
  EXPECT_EQ(files[1][1].step, 5) << "from where TensorBoard forgets the first file";
  expect_same(files[1], all, 5);
  const std::string page = content(path("out/report.html"));
  EXPECT_EQ(page, made_later("out"));
  EXPECT_THAT(page, HasSubstr("\"x\":[1,2,3,4,5,6,7,8]"));
  EXPECT_THAT(page, HasSubstr("after step 8</summary>"));
  EXPECT_THAT(page, Not(HasSubstr("after step 6</summary>"))) << "that step was not";
}

TEST_F(ReportTest, OfARunThatFailsHasWhatThereIs) {
  const Result result = run("train",
                            tiny({"--lr=1e6", "--grad-clip=0", "--warmup-steps=0", "--steps=9",
                                  "--eval-interval=9", "--out=out"}),
                            folder_);
  expect_error(result, "train", "the run has diverged");
  EXPECT_EQ(content(path("out/report.html")), made_later("out"));
  EXPECT_THAT(content(path("out/report.html")), HasSubstr("not finite at "));
  bool not_finite = false;
  const std::vector<std::vector<ReadEvent>> files = events("out");
  for (const ReadEvent& event : files.at(0)) {
    for (const auto& [tag, value] : event.scalars) not_finite = not_finite || !std::isfinite(value);
  }
  EXPECT_TRUE(not_finite) << "TensorBoard marks what is no number";
}

TEST_F(ReportTest, OfAStoppedRunHasWhatThereIs) {
  Arguments words{tool_path("train")}, environment;
  for (const std::string& word : tiny({"--steps=100000", "--eval-interval=100000", "--out=out"}))
    words.push_back(word);
  const pid_t child = fork();
  if (child == 0) {
    close(STDOUT_FILENO);
    open("/dev/null", O_WRONLY);
    become(words, folder_, environment);
  }
  for (int i = 0; i < 3000; ++i) {
    std::error_code error;
    if (std::filesystem::file_size(path("out/metrics.jsonl"), error) > 500 && !error) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(child, SIGTERM);
  EXPECT_EQ(exit_status(child), 0);
  EXPECT_EQ(content(path("out/report.html")), made_later("out"));
  expect_same(events("out").at(0), metrics("out"), 1);
}

TEST_F(ReportTest, IsLeftOutWhenNotWanted) {
  EXPECT_THAT(train(tiny({"--out=out", "--no-report", "--no-tensorboard"})),
              HasSubstr("wrote out/config.json, metrics.jsonl\n"));
  EXPECT_FALSE(exists("out/report.html"));
  EXPECT_FALSE(exists("out/tensorboard"));
  train({"--resume=out", "--steps=6"});
  EXPECT_FALSE(exists("out/report.html")) << "options not given are those of the run";
  train({"--resume=out", "--steps=8", "--report", "--tensorboard"});
  EXPECT_THAT(content(path("out/report.html")), HasSubstr("\"x\":[1,2,3,4,5,6,7,8]"));
  expect_same(events("out").at(0), metrics("out"), 7);
}

TEST_F(ReportTest, ComparesRuns) {
  train(tiny({"--out=a/run"}));
  train(tiny({"--out=b/run", "--lr=0.001"}));
  const Result result = run("report", {"a/run", "b/run"}, folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "wrote report.html\n");
  const std::string page = content(path("report.html"));
  EXPECT_THAT(page, HasSubstr("a/run</th>"));
  EXPECT_THAT(page, HasSubstr("b/run</th>"));
  EXPECT_THAT(page, HasSubstr("<tr class=\"differs\"><th>lr</th><td>0.005</td><td>0.001</td>"));
  EXPECT_EQ(run("report", {"a/run/"}, folder_).out, "wrote a/run//report.html\n");
}

TEST_F(ReportTest, WhatIsNoRunIsAnError) {
  expect_error(run("report", {"gone"}, folder_), "report", "cannot open gone/config.json: No such");
  expect_error(run("report", {}, folder_), "report", "runs is required");
  train(tiny({"--out=out"}));
  expect_error(run("report", {"out", "--out=no/such/place.html"}, folder_), "report",
               "cannot write no/such/place.html.partial: No such file");
  std::ofstream(path("out/metrics.jsonl"), std::ios::app) << "{\"step\": 5, oops}\n";
  expect_error(run("report", {"out"}, folder_), "report",
               "line 5 of out/metrics.jsonl is not valid JSON");
  expect_error(run("train", {"--resume=out", "--steps=6"}, folder_), "train",
               "/out/metrics.jsonl is not valid JSON at offset");
  write("empty", "");
  std::filesystem::copy_file(path("empty"), path("out/metrics.jsonl"),
                             std::filesystem::copy_options::overwrite_existing);
  expect_error(run("report", {"out"}, folder_), "report", "the run out has made no step yet");
}

TEST_F(ReportTest, AReportThatCannotBeWrittenIsAnError) {
  std::filesystem::create_directories(path("out/report.html.partial/something"));
  expect_error(run("train", tiny({"--out=out"}), folder_), "train",
               "cannot write out/report.html.partial: Is a directory");
  EXPECT_FALSE(exists("out/report.html"));
  EXPECT_EQ(metrics("out").size(), 2u) << "up to the first validation";
}

}  // namespace
}  // namespace shardgrad::tool_testing
