// The training program with --device and --dtype, on GPUs that //simt stands in for.
#include <nlohmann/json.hpp>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class TrainOnGpuTest : public ToolTest {
 protected:
  /// The losses of a tiny run that is expected to succeed.
  std::vector<double> losses(const std::vector<std::string>& changes) {
    std::vector<std::string> arguments = tiny(changes);
    arguments.push_back("--out=out");
    std::filesystem::remove_all(folder_ + "/out");
    last_ = run("tests/tools/train_on_simt", arguments, folder_);
    EXPECT_EQ(last_.status, 0) << last_.err;
    EXPECT_EQ(last_.err, "");
    std::vector<double> result;
    for (const std::string& line : lines(content(folder_ + "/out/metrics.jsonl")))
      result.push_back(json::parse(line)["loss"]);
    EXPECT_EQ(result.size(), 4u);
    return result;
  }

  json config() const { return json::parse(content(folder_ + "/out/config.json")); }

  Result last_;
};

void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

TEST_F(TrainOnGpuTest, FollowsTheCpuInEveryLayout) {
  const std::vector<double> cpu = losses({"--device=cpu", "--dropout=0.1"});
  EXPECT_EQ(config()["device"], "cpu");
  EXPECT_THAT(last_.out, HasSubstr(" cores; cpu, float32\n"));
  expect_near(losses({"--dropout=0.1"}), cpu, 1e-4);  // auto takes the GPU
  EXPECT_THAT(last_.out, HasSubstr("simt"));
  EXPECT_NE(config()["device"], "cpu");
  expect_near(losses({"--device=cuda", "--dropout=0.1", "--tp=2"}), cpu, 1e-4);
  expect_near(losses({"--device=cuda", "--dropout=0.1", "--grad-accum=2"}), cpu, 1e-4);
}

// A rounding to bfloat16 changes a number by up to 0.4 %.
TEST_F(TrainOnGpuTest, BFloat16OnBothDevices) {
  const std::vector<double> exact = losses({"--device=cpu"});
  for (const char* device : {"--device=cpu", "--device=cuda"}) {
    const std::vector<double> rounded = losses({device, "--dtype=bf16"});
    expect_near(rounded, exact, 0.004 * exact[0]);
    EXPECT_NE(rounded, exact);
    EXPECT_EQ(config()["dtype"], "bfloat16");
  }
}

TEST_F(TrainOnGpuTest, SaysWhyThereIsNoGpu) {
  std::vector<std::string> arguments = tiny({"--device=cuda", "--out=out"});
  const Result result = run("tests/tools/train_on_simt", arguments, folder_, {"SIMT_DEVICES=0"});
  expect_error(result, "train", "finds no device; choose --device=cpu, or auto");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/out"));
}

}  // namespace
}  // namespace shardgrad::tool_testing
