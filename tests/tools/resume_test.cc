// Runs of the training program that are stopped, killed, out of disk, and go on.
#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

using Arguments = std::vector<std::string>;

class ResumeTest : public ToolTest {
 protected:
  /// Runs the program, which is expected to succeed; its stdout.
  std::string train(const Arguments& arguments) {
    const Result result = run("train", arguments, folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  static Arguments with(Arguments arguments, const Arguments& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  /// What does not depend on the clock.
  std::vector<json> metrics(const std::string& out) const {
    std::vector<json> result;
    for (const std::string& line : lines(content(path(out) + "/metrics.jsonl"))) {
      result.push_back(json::parse(line));
      result.back().erase("tokens_per_second");
    }
    return result;
  }

  void expect_same_checkpoints(const std::string& a, const std::string& b,
                               const std::string& step) const {
    for (const char* name : {"config.json", "model.safetensors", "optimizer.safetensors"}) {
      const std::string file = "/checkpoints/" + step + "/" + name;
      EXPECT_TRUE(content(path(a) + file) == content(path(b) + file)) << file;
    }
  }

  std::vector<std::string> names_in(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(folder)))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  /// Starts the program; what it prints goes to the file `log`.
  pid_t start(const Arguments& arguments, const std::string& log) const {
    Arguments words{tool_path("train")}, environment;
    words.insert(words.end(), arguments.begin(), arguments.end());
    const std::string file = path(log);
    const pid_t child = fork();
    if (child == 0) {
      const int out = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
      dup2(out, STDOUT_FILENO);
      dup2(out, STDERR_FILENO);
      become(words, folder_, environment);
    }
    return child;
  }

  /// Returns when the run has written `count` lines of metrics.
  void wait_for_steps(const std::string& out, std::size_t count) const {
    for (int i = 0; i < 3000; ++i) {
      std::ifstream file(path(out) + "/metrics.jsonl");
      std::string line;
      std::size_t found = 0;
      while (std::getline(file, line)) ++found;
      if (found >= count) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << out << " has made no " << count << " steps in 30 s";
  }
};

TEST_F(ResumeTest, TenAndTenStepsAreTwenty) {
  for (const Arguments& layout : std::vector<Arguments>{
           {"--tp=2"}, {"--tp=1", "--dtype=bf16"}, {"--tp=1", "--dp=2", "--zero=1"}}) {
    std::filesystem::remove_all(path("whole"));
    std::filesystem::remove_all(path("parts"));
    const Arguments base =
        with(tiny({"--steps=20", "--dropout=0.1", "--keep-checkpoints=0"}), layout);
    train(with(base, {"--out=whole"}));
    train(with(base, {"--out=parts", "--save-interval=10"}));
    std::filesystem::remove_all(path("parts/checkpoints/step-000020"));
    // With all that it had: the lines of the steps after the checkpoint are still in the metrics.
    EXPECT_EQ(metrics("parts").size(), 20u);
    EXPECT_THAT(train({"--resume=parts"}), HasSubstr("step-000010, after step 10\n"));
    EXPECT_EQ(metrics("parts").size(), 20u);
    EXPECT_EQ(metrics("parts"), metrics("whole"));
    expect_same_checkpoints("parts", "whole", "step-000020");
  }
}

TEST_F(ResumeTest, AnotherLayoutDiffersByRounding) {
  const Arguments base = tiny({"--steps=12", "--dtype=fp64", "--dropout=0.1"});
  train(with(base, {"--out=whole"}));
  train(with(base, {"--out=parts", "--save-interval=4", "--tp=2", "--keep-checkpoints=0"}));
  std::filesystem::remove_all(path("parts/checkpoints/step-000012"));
  std::filesystem::remove_all(path("parts/checkpoints/step-000008"));
  train({"--resume=parts", "--tp=1", "--dp=2", "--zero=1"});
  const std::vector<json> whole = metrics("whole"), parts = metrics("parts");
  ASSERT_EQ(parts.size(), whole.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (const char* key : {"loss", "grad_norm"})
      EXPECT_NEAR(parts[i][key].get<double>(), whole[i][key].get<double>(), 1e-9) << key << i;
  }
}

TEST_F(ResumeTest, OptionsAreThoseOfTheRunUnlessGiven) {
  train(tiny({"--out=a", "--recompute=block", "--untie-embeddings", "--lr=0.01", "--no-overlap"}));
  train({"--resume=a", "--steps=6", "--out=b"});
  const json a = json::parse(content(path("a/config.json")));
  json b = json::parse(content(path("b/config.json")));
  EXPECT_EQ(b["steps"], 6);
  b["steps"] = a["steps"];
  EXPECT_EQ(a, b);
  EXPECT_EQ(a["recompute"], "block");
  EXPECT_EQ(metrics("a").size(), 4u);
  EXPECT_EQ(metrics("b").size(), 2u) << "steps 5 and 6";
  EXPECT_EQ(metrics("b").front()["step"], 5);
}

TEST_F(ResumeTest, AutoStartsOrGoesOn) {
  const Arguments command = tiny({"--out=out", "--resume=auto", "--tp=2"});
  train(command);
  const std::vector<json> first = metrics("out");
  EXPECT_EQ(first.size(), 4u);
  train(with(command, {"--steps=6"}));
  EXPECT_EQ(metrics("out").size(), 6u);
  // A run without any checkpoint begins again.
  std::filesystem::remove_all(path("out/checkpoints"));
  train(command);
  EXPECT_EQ(metrics("out"), first);
}

TEST_F(ResumeTest, WhatCannotGoOnIsAnError) {
  train(tiny({"--out=out", "--save-interval=2"}));
  const std::vector<json> before = metrics("out");
  const std::string config = content(path("out/config.json"));
  const auto refused = [&](const Arguments& arguments, const std::string& message) {
    expect_error(run("train", arguments, folder_), "train", message);
    EXPECT_EQ(metrics("out"), before);
    EXPECT_EQ(content(path("out/config.json")), config);
  };
  refused(tiny({"--out=out"}), "there is a run in out already; go on with it (--resume=out)");
  refused({"--resume=gone"}, "there is no checkpoint at gone");
  refused({"--resume=auto"}, "--resume=auto looks for checkpoints below --out");
  refused({"--resume=out", "--seed=3"}, "is of a run with --seed=1234");
  refused({"--resume=out", "--dtype=bf16"}, "is of a float32 model, but this one is bfloat16");
  refused({"--resume=out", "--d-model=64"}, "the model has d_model 64, but that of");
  refused({"--resume=out", "--steps=3"}, "is of step 4, but --steps=3 asks for fewer");
  refused({"--resume=out/checkpoints/step-000002"}, "has a checkpoint of step 4, after the one");
  const std::string file = path("out/checkpoints/step-000004/optimizer.safetensors");
  std::filesystem::resize_file(file, 100);
  refused({"--resume=out"}, "optimizer.safetensors says at offset 0 that its header has");
}

TEST_F(ResumeTest, StartsFromTheWeightsOfAnother) {
  train(tiny({"--out=a"}));
  const std::string model = "a/checkpoints/step-000004";
  train(tiny({"--init=" + model, "--out=b", "--tp=2", "--lr=0", "--min-lr=0"}));
  EXPECT_TRUE(content(path(model + "/model.safetensors")) ==
              content(path("b/checkpoints/step-000004/model.safetensors")));
  expect_error(run("train", tiny({"--init=" + model, "--d-model=64"}), folder_), "train",
               "the model has d_model 64, but that of");
  expect_error(run("train", {"--init=a"}, folder_), "train", "a/config.json has no \"model_type\"");
}

TEST_F(ResumeTest, SignalsSaveAndStop) {
  for (const int signal : {SIGINT, SIGTERM}) {
    std::filesystem::remove_all(path("out"));
    const pid_t child =
        start(tiny({"--steps=1000000", "--eval-interval=1000000", "--tp=2", "--out=out"}), "log");
    wait_for_steps("out", 5);
    kill(child, signal);
    EXPECT_EQ(exit_status(child), 0);
    const std::vector<std::string> saved = names_in("out/checkpoints");
    ASSERT_EQ(saved.size(), 1u);
    const std::int64_t step = std::stoll(saved[0].substr(5));
    EXPECT_EQ(metrics("out").back()["step"], step);
    EXPECT_THAT(content(path("log")),
                HasSubstr("stopped by a signal after step " + std::to_string(step) +
                          ", saved in out/checkpoints/" + saved[0] + "; go on with --resume=out"));
    train({"--resume=out", "--steps=" + std::to_string(step + 2)});
    EXPECT_EQ(metrics("out").size(), static_cast<std::size_t>(step + 2));
  }
}

TEST_F(ResumeTest, ASecondSignalEndsItAtOnce) {
  // A step that takes longer than the test waits.
  const pid_t child = start(
      {"--data=text.txt", "--batch-size=65536", "--grad-accum=16384", "--threads=1", "--out=out"},
      "log");
  const auto begun = [&] {
    std::ifstream log(path("log"));
    const std::string text((std::istreambuf_iterator<char>(log)), {});
    return text.find("writing") != std::string::npos;
  };
  for (int i = 0; i < 1000 && !begun(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(child, SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "the first one waits for the step";
  kill(child, SIGINT);
  EXPECT_EQ(exit_status(child), 128 + SIGINT);
}

TEST_F(ResumeTest, AFullDiskLeavesThePreviousCheckpoint) {
  train(tiny({"--out=out"}));
  const std::string saved = "out/checkpoints/step-000004";
  const std::string model = content(path(saved + "/model.safetensors"));
  for (const char* tp : {"--tp=1", "--tp=2"}) {
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit before = limit;
    limit.rlim_cur = model.size() + 1000;  // the optimizer's file is twice as large
    setrlimit(RLIMIT_FSIZE, &limit);
    const Result result = run("train", {"--resume=out", "--steps=6", tp}, folder_);
    setrlimit(RLIMIT_FSIZE, &before);
    expect_error(result, "train", "optimizer.safetensors: File too large");
    EXPECT_EQ(names_in("out/checkpoints"), (std::vector<std::string>{"step-000004"}));
  }
  EXPECT_TRUE(content(path(saved + "/model.safetensors")) == model);
  train({"--resume=out", "--steps=6"});
  EXPECT_EQ(metrics("out").size(), 6u);
}

// The run that is killed at random moments, most of them while it saves, and always goes on, is in
// the end the one that was left alone.
TEST_F(ResumeTest, KilledFiftyTimesItLosesNothing) {
  const Arguments command = tiny({"--steps=150", "--save-interval=1", "--eval-interval=1000",
                                  "--tp=2", "--dropout=0.1", "--sample-tokens=0", "--resume=auto"});
  train(with(command, {"--out=whole", "--save-interval=0"}));
  std::mt19937 random(20);
  std::uniform_int_distribution<int> pause(0, 60000);
  int killed = 0;
  for (std::size_t tries = 0; killed < 50; ++tries) {
    ASSERT_LT(tries, 500u);
    const Arguments forward = with(command, {"--out=out"});
    const pid_t child = start(forward, "log");
    // Some checkpoints further than before, at the most; now and then before the first step.
    std::this_thread::sleep_for(std::chrono::microseconds(20000 + pause(random)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
      ++killed;
    } else {
      ASSERT_EQ(WEXITSTATUS(status), 0) << content(path("log"));
      std::filesystem::remove_all(path("out"));  // it has finished: once more from the beginning
    }
  }
  train(with(command, {"--out=out"}));
  EXPECT_EQ(metrics("out"), metrics("whole"));
  expect_same_checkpoints("out", "whole", "step-000150");
  EXPECT_EQ(names_in("out/checkpoints"), (std::vector<std::string>{"step-000149", "step-000150"}));
}

}  // namespace
}  // namespace shardgrad::tool_testing
