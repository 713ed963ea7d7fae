// The training program: what it writes and prints, and that the layout does not show.
#include <cmath>
#include <set>

#include "tests/tools/program_testing.h"

namespace shardgrad {
namespace {

using namespace program_testing;  // NOLINT: this file is about nothing else

constexpr const char* kTiny =
    "tools/train --n-layers=1 --d-model=32 --n-heads=2 --max-position-embeddings=16 --seq-len=16 "
    "--batch-size=4 --steps=4 --eval-interval=2 --eval-steps=1 --sample-tokens=8 --warmup-steps=2 "
    "--dropout=0.1";

std::string tiny(const std::string& more) { return kTiny + (" " + more); }

class TrainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int line = 0; line < 200; ++line) text += "int value_" + std::to_string(line) + ";\n";
    write_file(data_, text);
  }

  // Trains and returns the metrics.
  std::vector<nlohmann::json> train(const std::string& name, const std::string& flags) {
    const std::string out = scratch(name);
    const ProgramResult result = run(tiny("--data=" + data_ + " --out=" + out + " " + flags));
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_EQ(result.error, "");
    out_ = result.out;
    return read_metrics(out + "/metrics.jsonl");
  }

  const std::string data_ = scratch("data.txt");
  std::string out_;
};

void expect_same_curve(const std::vector<nlohmann::json>& a, const std::vector<nlohmann::json>& b,
                       double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (const char* key : {"loss", "grad_norm", "val_loss"}) {
      if (!b[i].contains(key)) continue;
      const double expected = b[i][key], found = a[i][key];
      EXPECT_LE(std::abs(found - expected), tolerance * std::abs(expected)) << key << " " << i;
    }
  }
}

TEST_F(TrainTest, WritesOneObjectAStep) {
  const auto metrics = train("objects", "--tp=2");
  ASSERT_EQ(metrics.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    std::set<std::string> keys;
    for (const auto& [key, value] : metrics[i].items()) keys.insert(key);
    std::set<std::string> expected{"step", "loss", "lr", "grad_norm", "tokens_per_second"};
    if (i % 2 == 1) expected.insert("val_loss");
    EXPECT_EQ(keys, expected);
    EXPECT_EQ(metrics[i]["step"], i + 1);
    EXPECT_NEAR(metrics[i]["loss"].get<double>(), std::log(256.0), 1.0);
  }
  EXPECT_DOUBLE_EQ(metrics[0]["lr"], 2.5e-3);  // warm-up: half of the peak
  const auto config = nlohmann::json::parse(read_file(scratch("objects/config.json")));
  EXPECT_EQ(config["tp"], 2);
  EXPECT_EQ(config["d_ff"], 128);  // 4 d_model
  EXPECT_NE(out_.find("layout   tp=2"), std::string::npos) << out_;
  EXPECT_NE(out_.find("step 4  validation loss"), std::string::npos) << out_;
  EXPECT_NE(out_.find("A sample"), std::string::npos) << out_;
  EXPECT_EQ(out_.find('\r'), std::string::npos) << "progress in place, but this is no terminal";
}

TEST_F(TrainTest, TheLayoutDoesNotShow) {
  const auto one = train("one", "--tp=1 --dtype=fp64");
  expect_same_curve(train("two", "--tp=2 --dtype=fp64"), one, 1e-9);
  expect_same_curve(train("accumulated", "--grad-accum=4 --dtype=fp64"), one, 1e-9);
  expect_same_curve(train("both", "--tp=2 --grad-accum=2 --dtype=fp64"), one, 1e-9);
  expect_same_curve(train("threads", "--threads=1 --dtype=fp64"), one, 1e-9);
}

TEST_F(TrainTest, TheSameRunTwiceIsTheSame) {
  const auto first = train("first", "--tp=2");
  expect_same_curve(train("second", "--tp=2"), first, 0.0);
  const auto other = train("other", "--tp=2 --seed=5");
  EXPECT_NE(first[0]["loss"], other[0]["loss"]);
}

TEST_F(TrainTest, ReadsAFolderAndResolvesTheUsersPaths) {
  const std::string home = scratch("home");
  std::filesystem::create_directories(home + "/texts/deep");
  std::filesystem::copy_file(data_, home + "/texts/deep/a.txt",
                             std::filesystem::copy_options::overwrite_existing);
  const ProgramResult result =
      run("env BUILD_WORKING_DIRECTORY=" + home + " " + tiny("--data=texts --out=runs/mine"));
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(read_metrics(home + "/runs/mine/metrics.jsonl").size(), 4u);
}

TEST_F(TrainTest, TrainsOnTheSourceOfEigenByDefault) {
  const ProgramResult result = run(tiny("--out=" + scratch("eigen")));
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_NE(result.out.find("the C++ source of Eigen"), std::string::npos) << result.out;
}

TEST_F(TrainTest, SaysWhatIsWrongInOneLine) {
  const std::string out = " --out=" + scratch("bad"), data = " --data=" + data_;
  write_file(scratch("empty.txt"), "");
  write_file(scratch("short.txt"), "too short");
  const auto wrong = [&](const std::string& flags, const std::string& text) {
    expect_error(tiny(flags) + out, text);
  };
  wrong("--data=/no/such/file", "/no/such/file");
  wrong("--data=" + scratch("empty.txt"), "empty.txt");
  wrong("--data=" + scratch("short.txt"),
        "has 9 bytes, too few for --seq-len 16; give at least 170");
  wrong("--tp=3" + data, "n_heads 2 is not divisible by tp=3; choose tp from {1, 2}");
  wrong("--seq-len=17" + data, "--seq-len 17 is above --max-position-embeddings 16");
  wrong("--grad-accum=3" + data, "--batch-size 4 is not divisible by --grad-accum 3");
  wrong("--tp=0", "--tp");
  wrong("--steps=abc", "--steps");
  wrong("--dropout=1", "--dropout");
  wrong("--preset=gpt9", "--preset");
  wrong("--no-such-flag", "--no-such-flag");
  wrong("--device=cuda", "no CUDA");
  expect_error(tiny(data + " --out=" + data_ + "/below"), data_ + "/below");
  expect_error(
      tiny(data + " --lr=1e6 --weight-decay=1000 --steps=10 --grad-clip=0 --warmup-steps=0 --tp=2" +
           out),
      "the run has diverged; lower --lr");
  expect_error("tools/train --d-model=30 --n-heads=4" + out,
               "d_model 30 is not divisible by n_heads 4");
}

TEST_F(TrainTest, HelpNamesEveryFlag) {
  const ProgramResult result = run("tools/train --help");
  EXPECT_EQ(result.status, 0);
  for (const char* flag : {"--tp",
                           "--preset",
                           "--n-layers",
                           "--n-heads",
                           "--d-model",
                           "--d-ff",
                           "--max-position-embeddings",
                           "--dropout",
                           "--data",
                           "--batch-size",
                           "--seq-len",
                           "--grad-accum",
                           "--steps",
                           "--lr",
                           "--min-lr",
                           "--warmup-steps",
                           "--weight-decay",
                           "--beta1",
                           "--beta2",
                           "--grad-clip",
                           "--eval-interval",
                           "--eval-steps",
                           "--seed",
                           "--threads",
                           "--device",
                           "--out"}) {
    EXPECT_NE(result.out.find(std::string(flag) + " "), std::string::npos) << flag;
  }
}

}  // namespace
}  // namespace shardgrad
