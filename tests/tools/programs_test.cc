// --help, forward_tp and bench, and how a sample is shown.
#include <nlohmann/json.hpp>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

class ProgramsTest : public ToolTest {};

TEST_F(ProgramsTest, HelpNamesEveryFlag) {
  const Result result = run("train", {"--help"}, folder_);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  for (const char* flag : {"tp",
                           "dp",
                           "sequence-parallel",
                           "recompute",
                           "zero",
                           "label-smoothing",
                           "preset",
                           "n-layers",
                           "n-heads",
                           "d-model",
                           "d-ff",
                           "max-position-embeddings",
                           "dropout",
                           "data",
                           "batch-size",
                           "seq-len",
                           "grad-accum",
                           "steps",
                           "lr",
                           "min-lr",
                           "warmup-steps",
                           "weight-decay",
                           "beta1",
                           "beta2",
                           "grad-clip",
                           "eval-interval",
                           "eval-steps",
                           "seed",
                           "threads",
                           "device",
                           "out"}) {
    EXPECT_THAT(result.out, HasSubstr("\n  --" + std::string(flag) + " "));
  }
  for (const std::string& line : lines(result.out)) {
    EXPECT_LE(line.size(), 100u) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
  EXPECT_EQ(run("forward_tp", {"--help"}, folder_).status, 0);
  EXPECT_EQ(run("bench", {"-h"}, folder_).status, 0);
}

TEST_F(ProgramsTest, ForwardTpAgreesAtEveryLayout) {
  std::string loss;
  for (int tp : {1, 2, 4}) {
    const Result result = run("forward_tp", {"--tp=" + std::to_string(tp)}, folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    const std::vector<std::string> all = lines(result.out);
    ASSERT_EQ(all.size(), tp + 6u) << result.out;
    EXPECT_EQ(all[0], "world_size: " + std::to_string(tp));
    for (int rank = 0; rank < tp; ++rank)
      EXPECT_EQ(all[rank + 1], "rank " + std::to_string(rank) + ": max diff vs rank0: 0.0");
    EXPECT_EQ(all[tp + 1], "input_ids shape: [2, 16]");
    EXPECT_EQ(all[tp + 2], "logits shape: [2, 16, 10000]");
    if (loss.empty()) loss = all[tp + 3];
    EXPECT_EQ(all[tp + 3], loss);
    EXPECT_THAT(loss, ::testing::StartsWith("loss: 9."));
    const std::string forward = "max diff vs tp=1 (forward): ";
    const std::string gradients = "max diff vs tp=1 (gradients): ";
    ASSERT_EQ(all[tp + 4].rfind(forward, 0), 0u) << all[tp + 4];
    ASSERT_EQ(all[tp + 5].rfind(gradients, 0), 0u) << all[tp + 5];
    EXPECT_LT(std::stod(all[tp + 4].substr(forward.size())), 1e-5);
    EXPECT_LT(std::stod(all[tp + 5].substr(gradients.size())), 1e-5);
  }
}

TEST_F(ProgramsTest, BenchWritesItsNumbers) {
  const Result result = run("bench",
                            {"--preset=nano", "--n-layers=2", "--batch-size=2", "--seq-len=32",
                             "--steps=3", "--warmup=1", "--json=bench.json"},
                            folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  const nlohmann::json file = nlohmann::json::parse(content(folder_ + "/bench.json"));
  ASSERT_EQ(file["results"].size(), 1u);
  const nlohmann::json& numbers = file["results"][0];
  EXPECT_EQ(numbers["steps"].size(), 3u);
  std::vector<double> steps = numbers["steps"];
  std::sort(steps.begin(), steps.end());
  EXPECT_EQ(numbers["step_seconds"], steps[1]) << "the median";
  EXPECT_EQ(numbers["tokens_per_second"], 64.0 / steps[1]);
  double flops = 0.0;
  for (const nlohmann::json& operation : numbers["operations"]) {
    const std::string name = operation["name"];
    if (name.rfind("gemm", 0) == 0) flops += operation["flops"].get<double>();
  }
  // Two blocks of 12 d_model^2 weights and a head of 256 d_model, for 64 tokens.
  EXPECT_EQ(flops, 6.0 * (2 * 12 * 128 * 128 + 256 * 128) * 64);
}

TEST_F(ProgramsTest, BenchMeasuresWhatConnectsTheRanks) {
  for (const char* layout : {"--tp=1", "--tp=2"}) {
    const Result result = run("bench",
                              {"--preset=nano", "--n-layers=1", "--batch-size=2", "--seq-len=32",
                               "--steps=1", "--warmup=1", layout, "--json=bench.json"},
                              folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    const nlohmann::json file = nlohmann::json::parse(content(folder_ + "/bench.json"));
    const bool several = layout == std::string("--tp=2");
    EXPECT_EQ(file["results"][0]["all_reduce_bytes_per_second"].get<double>() > 0.0, several);
    EXPECT_EQ(result.out.find("\nall_reduce  ") != std::string::npos, several) << result.out;
  }
}

TEST_F(ProgramsTest, BenchSuiteChoosesItsShapes) {
  const Result result = run("bench", {"--suite", "--tp=2"}, folder_);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("--suite chooses --tp itself"));
}

TEST_F(ProgramsTest, BenchReports) {
  const Result result = run(
      "bench", {"--preset=nano", "--batch-size=2", "--seq-len=32", "--steps=2", "--tp=2"}, folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  std::vector<std::string> labels;
  for (const std::string& line : lines(result.out))
    labels.push_back(line.substr(0, line.find(' ')));
  ASSERT_GT(labels.size(), 8u);
  EXPECT_THAT(
      std::vector<std::string>(labels.begin(), labels.begin() + 8),
      ElementsAre("machine", "device", "model", "layout", "step", "rate", "phases", "memory"));
  EXPECT_THAT(labels, IsSupersetOf({"gemm", "attention_forward", "attention_backward", "adamw",
                                    "all_reduce", "between"}));
  EXPECT_EQ(lines(result.err).size(), 4u) << "two steps to warm up, two measured";
}

// A step for each line of the standard input, on all ranks, and an error where lines are missing.
TEST_F(ProgramsTest, PacedBenchMakesAStepForEachLine) {
  const auto steps_for = [&](const std::string& input) {
    return run("/bin/sh",
               {"-c", "printf '" + input + "' | " + tool_path("bench") +
                          " --preset=nano --n-layers=1 --batch-size=2 --seq-len=32 --tp=2 "
                          "--warmup=1 --steps=2 --paced"},
               folder_);
  };
  const Result enough = steps_for("\\n\\n\\n");
  EXPECT_EQ(enough.status, 0) << enough.err;
  EXPECT_EQ(lines(enough.err).size(), 3u) << enough.err;
  const Result few = steps_for("\\n\\n");
  EXPECT_EQ(few.status, 1);
  ASSERT_EQ(lines(few.err).size(), 3u) << few.err;
  EXPECT_THAT(lines(few.err)[1], HasSubstr("step 2/3:"));
  EXPECT_THAT(lines(few.err)[2], HasSubstr("the standard input ended before the last step"));
}

}  // namespace
}  // namespace shardgrad::tool_testing
