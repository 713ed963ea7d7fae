// Runs of the training program: what it prints, and what it writes.
#include <nlohmann/json.hpp>
#include <set>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class TrainTest : public ToolTest {
 protected:
  /// The metrics of a tiny run that is expected to succeed.
  std::vector<json> metrics(const std::vector<std::string>& changes) {
    std::filesystem::remove_all(folder_ + "/out");
    last_ = run("train", with_out(tiny(changes)), folder_);
    EXPECT_EQ(last_.status, 0) << last_.err;
    EXPECT_EQ(last_.err, "");
    std::vector<json> result;
    for (const std::string& line : lines(content(folder_ + "/out/metrics.jsonl")))
      result.push_back(json::parse(line));
    return result;
  }

  static std::vector<std::string> with_out(std::vector<std::string> arguments) {
    arguments.push_back("--out=out");
    return arguments;
  }

  static void expect_same_training(const std::vector<json>& a, const std::vector<json>& b,
                                   double tolerance) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (const char* key : {"loss", "grad_norm"}) {
        EXPECT_NEAR(a[i][key].get<double>(), b[i][key].get<double>(), tolerance) << key << i;
      }
    }
  }

  Result last_;
};

std::set<std::string> keys(const json& object) {
  std::set<std::string> result;
  for (const auto& [key, value] : object.items()) result.insert(key);
  return result;
}

TEST_F(TrainTest, MetricsHaveOneObjectPerStep) {
  for (const char* tp : {"--tp=1", "--tp=2"}) {
    const std::vector<json> steps = metrics({tp});
    ASSERT_EQ(steps.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      std::set<std::string> expected{"step", "loss", "lr", "grad_norm", "tokens_per_second"};
      if (i % 2 == 1) expected.insert("val_loss");
      EXPECT_EQ(keys(steps[i]), expected);
      EXPECT_EQ(steps[i]["step"], i + 1);
      EXPECT_GT(steps[i]["loss"], 4.0);
      EXPECT_LT(steps[i]["loss"], 7.0);
      EXPECT_GT(steps[i]["grad_norm"], 0.0);
      EXPECT_GT(steps[i]["lr"], 0.0);
      EXPECT_GT(steps[i]["tokens_per_second"], 0.0);
    }
  }
}

TEST_F(TrainTest, TensorParallelRunIsTheSame) {
  const std::vector<json> single = metrics({"--tp=1", "--dropout=0.1"});
  const std::vector<json> parallel = metrics({"--tp=2", "--dropout=0.1"});
  EXPECT_NEAR(single[0]["loss"].get<double>(), parallel[0]["loss"].get<double>(), 1e-5);
}

// Losses are of order 5 and norms of order 1, so this is about nine digits.
TEST_F(TrainTest, NoLayoutShowsInFloat64) {
  const std::vector<std::string> base{"--dtype=fp64", "--dropout=0.1"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return metrics(arguments);
  };
  const std::vector<json> single = with({});
  expect_same_training(with({"--tp=2"}), single, 1e-9);
  expect_same_training(with({"--grad-accum=4"}), single, 1e-9);
  expect_same_training(with({"--tp=2", "--grad-accum=2"}), single, 1e-9);
}

TEST_F(TrainTest, SameCommandGivesTheSameNumbers) {
  const std::vector<std::string> command{"--tp=2", "--dropout=0.1"};
  const std::vector<json> first = metrics(command);
  expect_same_training(first, metrics(command), 0.0);
  EXPECT_NE(first[0]["loss"], metrics({"--tp=2", "--dropout=0.1", "--seed=7"})[0]["loss"]);
}

TEST_F(TrainTest, ConfigHoldsTheOptions) {
  metrics({"--tp=2", "--lr=0.002", "--seed=7", "--dropout=0.25", "--steps=40", "--beta2=0.99"});
  const json config = json::parse(content(folder_ + "/out/config.json"));
  const json expected{{"preset", "nano"}, {"n_layers", 1},     {"n_heads", 2},
                      {"d_model", 32},    {"d_ff", 128},       {"dropout", 0.25},
                      {"tp", 2},          {"seq_len", 16},     {"batch_size", 4},
                      {"grad_accum", 1},  {"steps", 40},       {"seed", 7},
                      {"lr", 0.002},      {"min_lr", 8e-5},    {"beta1", 0.9},
                      {"beta2", 0.99},    {"warmup_steps", 4}, {"grad_clip", 1.0},
                      {"eval_steps", 1},  {"vocab_size", 256}, {"data", "text.txt"}};
  for (const auto& [key, value] : expected.items()) {
    ASSERT_TRUE(config.contains(key)) << key;
    if (value.is_number_float()) {
      EXPECT_DOUBLE_EQ(config[key].get<double>(), value.get<double>()) << key;
    } else {
      EXPECT_EQ(config[key], value) << key;
    }
  }
}

TEST_F(TrainTest, SequencesFitALoweredMaximum) {
  std::vector<std::string> arguments;
  for (const std::string& argument : tiny({"--max-position-embeddings=8", "--out=out"}))
    if (argument.rfind("--seq-len", 0) != 0) arguments.push_back(argument);
  EXPECT_EQ(run("train", arguments, folder_).status, 0);
  EXPECT_EQ(json::parse(content(folder_ + "/out/config.json"))["seq_len"], 8);
}

TEST_F(TrainTest, PrintsWholeLines) {
  metrics({});
  EXPECT_THAT(last_.out, HasSubstr("d_model 32"));
  EXPECT_THAT(last_.out, HasSubstr("step 4  validation loss "));
  const std::string title =
      "\nA sample after step 4, continuing the first bytes of the held-out text:\n";
  EXPECT_THAT(last_.out, HasSubstr(title));
  const std::vector<std::string> samples = lines(content(folder_ + "/out/samples.jsonl"));
  ASSERT_EQ(samples.size(), 2u) << "with each validation";
  const json sample = json::parse(samples[1]);
  EXPECT_EQ(sample["step"], 4);
  EXPECT_THAT(last_.out, HasSubstr(title + sample["text"].get<std::string>() + "\n"));
  EXPECT_THAT(last_.out,
              HasSubstr("wrote out/config.json, metrics.jsonl, tensorboard, report.html\n"));
  EXPECT_EQ(last_.out.find('\r'), std::string::npos);
  EXPECT_EQ(last_.out.find('\033'), std::string::npos);
  metrics({"--sample-tokens=0"});
  EXPECT_THAT(last_.out, Not(HasSubstr("A sample")));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/out/samples.jsonl"));
}

TEST_F(TrainTest, SaysWhereTheMemoryGoes) {
  metrics({});
  for (const char* kind :
       {"memory   weights ", "gradients ", "optimizer ", "activations ", "workspace "}) {
    EXPECT_LT(last_.out.find(kind), last_.out.find("step 1/4")) << kind;
  }
  EXPECT_THAT(last_.out, HasSubstr("\nstep 1  memory "));
  EXPECT_EQ(last_.out.find("\nspeed "), std::string::npos) << "too short to measure it";
}

// A run of some hundred GFLOP is worth a measurement of what the machine can do.
TEST_F(TrainTest, SaysWhatShareOfTheGemmRateItMakes) {
  std::filesystem::remove_all(folder_ + "/out");
  const Result result = run("train",
                            {"--data=text.txt", "--steps=24", "--eval-interval=24", "--threads=1",
                             "--eval-steps=1", "--sample-tokens=0", "--no-save", "--out=out"},
                            folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nspeed "));
  EXPECT_THAT(result.out, HasSubstr(" % of GEMM peak"));
  const std::vector<std::string> steps = lines(content(folder_ + "/out/metrics.jsonl"));
  ASSERT_EQ(steps.size(), 24u);
  for (const std::string& step : steps) EXPECT_GT(json::parse(step)["mfu"], 0.0);
}

TEST_F(TrainTest, UpdatesInPlaceOnATerminal) {
  const Result result = run_on_terminal(
      "train", tiny({"--steps=300", "--eval-interval=300", "--out=out"}), folder_, 40);
  EXPECT_EQ(result.status, 0) << result.out;
  EXPECT_THAT(result.out, HasSubstr("\r\033[Kstep   1/300  loss "));
  EXPECT_THAT(result.out, HasSubstr("\r\033[Kstep 300/300  loss "));
  for (auto at = result.out.find("\r\033[K"); at != std::string::npos;) {
    const auto end = result.out.find('\r', at + 1);
    EXPECT_LT(end - at - 4, 40u) << "a line that the terminal wraps";
    at = result.out.find("\r\033[K", end);
  }
}

TEST_F(TrainTest, ErrorOnATerminalHasItsOwnLine) {
  const Result result = run_on_terminal("train",
                                        tiny({"--lr=1e6", "--grad-clip=0", "--warmup-steps=0",
                                              "--eval-interval=9", "--steps=9", "--out=out"}),
                                        folder_, 100);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("\r\ntrain: error: ["));
}

TEST_F(TrainTest, LearnsFromAFolder) {
  std::filesystem::create_directories(folder_ + "/texts/deeper");
  std::filesystem::copy(folder_ + "/text.txt", folder_ + "/texts/deeper/text.txt");
  const std::vector<json> file = metrics({});
  expect_same_training(file, metrics({"--data=texts"}), 0.0);
}

TEST_F(TrainTest, RelativePathsAreTheCallers) {
  std::filesystem::create_directories(folder_ + "/elsewhere");
  const Result result = run("train", tiny({"--out=a/b"}), folder_ + "/elsewhere",
                            {"BUILD_WORKING_DIRECTORY=" + folder_});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(lines(content(folder_ + "/a/b/metrics.jsonl")).size(), 4u);
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/a/b/config.json"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/elsewhere"));
}

}  // namespace
}  // namespace shardgrad::tool_testing
