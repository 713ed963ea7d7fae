// The training program's guards: steps that are skipped, runs that have diverged, and samples that
// change nothing.
#include <nlohmann/json.hpp>
#include <random>
#include <regex>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

using Arguments = std::vector<std::string>;

class GuardsTest : public ToolTest {
 protected:
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string train(const Arguments& changes) const {
    const Result result = run("train", tiny(changes), folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }

  /// What does not depend on the clock, of a file of OUT.
  std::vector<json> objects(const std::string& out, const std::string& name) const {
    std::vector<json> result;
    for (const std::string& line : lines(content(path(out) + "/" + name))) {
      result.push_back(json::parse(line));
      result.back().erase("tokens_per_second");
    }
    return result;
  }

  std::vector<json> metrics(const std::string& out) const { return objects(out, "metrics.jsonl"); }

  /// The steps that were skipped as spikes.
  std::vector<int> spikes(const std::string& out) const {
    std::vector<int> steps;
    int before = 0;
    for (const json& line : metrics(out)) {
      const int now = line.value("spiked_steps", 0);
      EXPECT_EQ(now, line.value("skipped_steps", 0));
      if (now > before) steps.push_back(line["step"]);
      before = now;
    }
    return steps;
  }

  /// The bytes of a checkpoint that do not depend on the command line.
  std::string weights(const std::string& checkpoint) const {
    return content(path(checkpoint) + "/model.safetensors") +
           content(path(checkpoint) + "/optimizer.safetensors");
  }

  /// A text that is soon learnt, with stretches of bytes in it that are nowhere else.
  void write_text_with_spikes() const {
    std::mt19937 random(3);
    std::uniform_int_distribution<int> byte('!', '~');
    std::string text;
    for (int part = 0; part < 60; ++part) {
      for (int i = 0; i < 100; ++i) text += "ab";
      for (int i = 0; i < 16 && part < 50; ++i) text += static_cast<char>(byte(random));
    }
    write("spikes.txt", text);
  }

  static Arguments with_spikes(const Arguments& more) {
    Arguments arguments{"--data=spikes.txt",     "--steps=240",         "--eval-interval=1000",
                        "--spike-threshold=1.5", "--sample-tokens=0",   "--batch-size=2",
                        "--keep-checkpoints=0",  "--max-skipped=100000"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST_F(GuardsTest, SpikesAreTheSameStepsInAnyLayout) {
  write_text_with_spikes();
  train(with_spikes({"--out=one", "--dtype=fp64"}));
  const std::vector<int> expected = spikes("one");
  EXPECT_GT(expected.size(), 5u);
  EXPECT_GT(expected.front(), 64) << "before there is enough to compare with";
  for (const Arguments& layout : std::vector<Arguments>{{"--tp=2"}, {"--dp=2", "--zero=1"}}) {
    std::filesystem::remove_all(path("many"));
    Arguments arguments = with_spikes({"--out=many", "--dtype=fp64"});
    arguments.insert(arguments.end(), layout.begin(), layout.end());
    train(arguments);
    EXPECT_EQ(spikes("many"), expected);
  }
  train(with_spikes({"--out=off", "--spike-threshold=0"}));
  EXPECT_TRUE(spikes("off").empty());
}

TEST_F(GuardsTest, ARunThatGoesOnSkipsTheSameSpikes) {
  write_text_with_spikes();
  train(with_spikes({"--out=whole"}));
  train(with_spikes({"--out=parts", "--save-interval=120"}));
  std::filesystem::remove_all(path("parts/checkpoints/step-000240"));
  EXPECT_EQ(run("train", {"--resume=parts"}, folder_).status, 0);
  const std::vector<int> steps = spikes("whole");
  const auto soon = std::count_if(steps.begin(), steps.end(),
                                  [](int step) { return step > 120 && step < 120 + 64; });
  EXPECT_GT(soon, 0) << "before a guard that has forgotten all would skip again";
  EXPECT_EQ(metrics("parts"), metrics("whole"));
  EXPECT_TRUE(weights("parts/checkpoints/step-000240") == weights("whole/checkpoints/step-000240"));
}

TEST_F(GuardsTest, DivergenceNamesACheckpointThatWorks) {
  train({"--out=out", "--steps=4"});
  // The step after it breaks the parameters, and with them the checkpoints from there on.
  const Arguments broken{"--resume=out",    "--lr=1e30",        "--warmup-steps=0",
                         "--grad-clip=0",   "--steps=40",       "--eval-interval=1000",
                         "--max-skipped=3", "--save-interval=1"};
  const Result result = run("train", broken, folder_);
  expect_error(result, "train", "the run has diverged; lower --lr (1e+30) or set --grad-clip (0)");
  EXPECT_THAT(result.err, HasSubstr("the last 3 among them"));
  const std::size_t made = metrics("out").size();
  EXPECT_EQ(metrics("out").back()["skipped_steps"], 3);
  EXPECT_TRUE(
      std::filesystem::exists(path("out/checkpoints/step-00000" + std::to_string(made - 1))));
  std::smatch found;
  const std::regex pattern("from the last good checkpoint: (--resume=\\S+) --lr=\\S+ (.*)\n");
  ASSERT_TRUE(std::regex_search(result.err, found, pattern)) << result.err;
  EXPECT_THAT(found[1].str(), HasSubstr("out/checkpoints/step-000004"));
  EXPECT_THAT(found[2].str(), ::testing::StartsWith("--grad-clip=1 --out="));
  EXPECT_THAT(found[2].str(), ::testing::EndsWith("/out-again"));
  const Result again =
      run("train", {found[1].str(), "--lr=1e-3", "--grad-clip=1", "--out=out-again", "--steps=6"},
          folder_);
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(metrics("out-again").front()["step"], 5);
}

TEST_F(GuardsTest, DivergenceQuotesPathsForTheShell) {
  train({"--out=it's out", "--steps=4"});
  const Result result =
      run("train",
          {"--resume=it's out", "--lr=1e30", "--warmup-steps=0", "--steps=40", "--max-skipped=3"},
          folder_);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("/it'\\''s out/checkpoints/step-000004' --lr="));
  EXPECT_THAT(result.err, HasSubstr("--resume='/"));
}

TEST_F(GuardsTest, DivergenceWithoutACheckpointSaysSo) {
  for (const char* tp : {"--tp=1", "--tp=2"}) {
    std::filesystem::remove_all(path("out"));
    const Result result = run("train",
                              tiny({tp, "--lr=1e30", "--warmup-steps=0", "--steps=40",
                                    "--eval-interval=1000", "--max-skipped=5", "--out=out"}),
                              folder_);
    expect_error(result, "train", "there is no checkpoint from before it");
    EXPECT_EQ(metrics("out").back()["skipped_steps"], 5);
  }
}

TEST_F(GuardsTest, SamplesChangeNothing) {
  train({"--out=silent", "--sample-tokens=0", "--dropout=0.1", "--steps=8"});
  const std::string talking = train(
      {"--out=talking", "--sample-interval=1", "--dropout=0.1", "--steps=8", "--sample-tokens=20"});
  EXPECT_EQ(metrics("talking"), metrics("silent"));
  EXPECT_TRUE(weights("talking/checkpoints/step-000008") ==
              weights("silent/checkpoints/step-000008"));
  EXPECT_FALSE(std::filesystem::exists(path("silent/samples.jsonl")));
  const std::vector<json> samples = objects("talking", "samples.jsonl");
  ASSERT_EQ(samples.size(), 8u);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(samples[i]["step"], i + 1);
    EXPECT_THAT(talking, HasSubstr("A sample after step " + std::to_string(i + 1)));
  }
}

TEST_F(GuardsTest, SamplesAreTheSameInAnyLayout) {
  const Arguments base{"--dtype=fp64", "--sample-interval=3", "--steps=8"};
  const auto samples = [&](const Arguments& layout) {
    std::filesystem::remove_all(path("out"));
    Arguments arguments = base;
    arguments.insert(arguments.end(), layout.begin(), layout.end());
    arguments.push_back("--out=out");
    train(arguments);
    return objects("out", "samples.jsonl");
  };
  const std::vector<json> expected = samples({});
  ASSERT_EQ(expected.size(), 3u) << "after steps 3, 6 and 8";
  EXPECT_NE(expected[0]["text"], expected[1]["text"]);
  EXPECT_EQ(samples({"--tp=2"}), expected);
  EXPECT_EQ(samples({"--dp=2", "--grad-accum=2"}), expected);
}

}  // namespace
}  // namespace shardgrad::tool_testing
