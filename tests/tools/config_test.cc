// --config: options in a file, those of the command line before them, and the file that a run
// leaves.
#include <nlohmann/json.hpp>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using ::testing::HasSubstr;

class ConfigTest : public ToolTest {
 protected:
  ConfigTest() { write("text.txt", std::string(3000, 'a') + std::string(3000, 'b')); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }

  nlohmann::json settings(const std::string& out) {
    return nlohmann::json::parse(content(folder_ + "/" + out + "/config.json"));
  }

  std::string error_of_config(const std::string& text) {
    write("bad.toml", text);
    const Result result = run("train", {"--config=bad.toml"}, folder_);
    EXPECT_EQ(result.status, 1);
    return result.err;
  }
};

constexpr const char* kSmall =
    "data = \"text.txt\"\n"
    "[model]\n"
    "n-layers = 1\n"
    "d-model = 32\n"
    "dropout = 0.1\n"
    "[run]\n"
    "steps = 3\n"
    "batch-size = 4\n"
    "seq-len = 16\n"
    "eval-steps = 1\n"
    "sample-tokens = 0\n"
    "recompute = \"block\"\n"
    "schedule = 'wsd'\n"
    "lr = 1e-2\n"
    "save = false\n";

TEST_F(ConfigTest, TheCommandLineCountsMore) {
  write("small.toml", kSmall);
  const Result result =
      run("train", {"--steps=2", "--config=small.toml", "--lr=2e-2", "--out=out"}, folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  const nlohmann::json found = settings("out");
  EXPECT_EQ(found["n_layers"], 1);
  EXPECT_EQ(found["d_ff"], 128);
  EXPECT_EQ(found["dropout"], 0.1);
  EXPECT_EQ(found["recompute"], "block");
  EXPECT_EQ(found["schedule"], "wsd");
  EXPECT_EQ(found["steps"], 2);
  EXPECT_EQ(found["lr"], 0.02);
  EXPECT_EQ(found["tie_embeddings"], true);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/out/checkpoints"));
}

TEST_F(ConfigTest, TheFileThatARunLeavesIsTheSameRun) {
  write("small.toml", kSmall);
  EXPECT_EQ(
      run("train", {"--config=small.toml", "--untie-embeddings", "--out=one"}, folder_).status, 0);
  const Result again = run("train", {"--config=one/run.toml", "--out=two"}, folder_);
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(settings("two"), settings("one"));
  EXPECT_EQ(settings("two")["tie_embeddings"], false);
  EXPECT_EQ(content(folder_ + "/two/run.toml"), content(folder_ + "/one/run.toml"));
  const auto losses = [&](const std::string& out) {
    std::vector<double> all;
    for (const std::string& line : lines(content(folder_ + "/" + out + "/metrics.jsonl"))) {
      all.push_back(nlohmann::json::parse(line)["loss"]);
    }
    return all;
  };
  EXPECT_EQ(losses("two"), losses("one"));
  EXPECT_EQ(losses("one").size(), 3u);
}

// Text that looks like a number, and numbers that TOML does not know.
TEST_F(ConfigTest, ValuesAreWhatTheyWere) {
  std::filesystem::copy(folder_ + "/text.txt", folder_ + "/1e5");
  const std::string name = "\xc3\xa9 \"\x7f\n.txt";
  std::filesystem::copy(folder_ + "/text.txt", folder_ + "/" + name);
  write("small.toml", kSmall);
  const Result result =
      run("train", {"--config=small.toml", "--data=1e5", "--lr=.5e-2", "--out=one"}, folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(settings("one")["data"], "1e5");
  EXPECT_EQ(settings("one")["lr"], 0.005);
  const Result again = run("train", {"--config=one/run.toml", "--out=two"}, folder_);
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(settings("two"), settings("one"));
  const Result odd =
      run("train", {"--config=small.toml", "--data=" + name, "--out=three"}, folder_);
  EXPECT_EQ(odd.status, 0) << odd.err;
  const Result odd_again = run("train", {"--config=three/run.toml", "--out=four"}, folder_);
  EXPECT_EQ(odd_again.status, 0) << odd_again.err;
  EXPECT_EQ(content(folder_ + "/four/run.toml"), content(folder_ + "/three/run.toml"));
}

TEST_F(ConfigTest, MistakesAreErrorsWithFileAndLine) {
  EXPECT_THAT(error_of_config("steps = 3\nfoo = 2\n"),
              HasSubstr("bad.toml:2: there is no option 'foo'"));
  EXPECT_THAT(error_of_config("steps = \n"), HasSubstr("bad.toml:1:"));
  EXPECT_THAT(error_of_config("\xef\xbb\xbf\nst\xc3\xa9ps = 1\n"), HasSubstr("bad.toml:2:3: "));
  EXPECT_THAT(error_of_config("'st\xc3\xa9ps' = 1\n"), HasSubstr("no option 'st\xc3\xa9ps'"));
  EXPECT_THAT(error_of_config("\nsteps = [1]\n"), HasSubstr("bad.toml:2: a value is neither text"));
  EXPECT_THAT(error_of_config("steps = 'many'\n"), HasSubstr("--steps: 'many'"));
  EXPECT_THAT(error_of_config("steps = 1\nsteps = 2\n"), HasSubstr("bad.toml:2:"));
  EXPECT_THAT(error_of_config("config = 'other.toml'\n"), HasSubstr("no option 'config'"));
  EXPECT_THAT(error_of_config("\ndata = ''\nsteps = 1\n"),
              HasSubstr("bad.toml:2: the value of 'data' is empty"));
  EXPECT_THAT(error_of_config("# one\n[" + std::string(9000, '.') + "]\n"),
              HasSubstr("bad.toml:2: the line has 9002 bytes; expected at most 4096"));
  EXPECT_THAT(error_of_config(std::string(1 << 20, '\n') + "a"),
              HasSubstr("bad.toml has more than 1048576 bytes"));
  const Result missing = run("train", {"--config=none.toml"}, folder_);
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("cannot open none.toml: No such file"));
}

}  // namespace
}  // namespace shardgrad::tool_testing
