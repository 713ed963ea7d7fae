// Bad input: one line on stderr, exit status 1, nothing left behind.
#include <functional>
#include <stdexcept>

#include "parallel/launch.h"
#include "tests/tools/run_program.h"
#include "tools/program.h"

namespace shardgrad::tool_testing {
namespace {

class BadInputTest : public ToolTest {
 protected:
  /// Expects the error, and no trace of the run.
  void expect_refused(const std::vector<std::string>& changes, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(changes));
    std::vector<std::string> with_out{"--out=out"};
    with_out.insert(with_out.end(), changes.begin(), changes.end());
    const Result result = run("train", tiny(with_out), folder_);
    expect_error(result, "train", message);
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/out"));
  }
};

TEST_F(BadInputTest, Data) {
  write("empty.txt", "");
  write("short.txt", std::string(169, 'x'));
  write("binary", std::string(1000, '\0'));
  std::filesystem::create_directories(folder_ + "/nothing");
  expect_refused({"--data=missing.txt"}, "missing.txt does not exist; expected a text file");
  expect_refused({"--data=empty.txt"}, "empty.txt is empty; expected text");
  expect_refused({"--data=short.txt"},
                 "has 169 bytes, too few for --seq-len 16; give at least 170");
  expect_refused({"--data=binary"}, "binary is a binary file");
  expect_refused({"--data=nothing"}, "folder nothing holds no text");
  write("short.txt", std::string(170, 'x'));
  EXPECT_EQ(run("train", tiny({"--out=out", "--data=short.txt"}), folder_).status, 0);
}

TEST_F(BadInputTest, Shapes) {
  expect_refused({"--tp=4"}, "n_heads 2 is not divisible by tp=4; choose tp from {1, 2}");
  expect_refused({"--tp=2", "--d-ff=33"}, "d_ff 33 is not divisible by tp=2");
  expect_refused({"--n-heads=5"}, "d_model 32 is not divisible by n_heads 5; choose n_heads from");
  expect_refused({"--seq-len=300"}, "--seq-len 300 is above --max-position-embeddings 256");
  expect_refused({"--grad-accum=3"},
                 "--batch-size 4 does not divide into --dp=1 x --grad-accum=3 micro-batches; "
                 "choose a multiple of 3");
}

TEST_F(BadInputTest, Values) {
  expect_refused({"--preset=huge"}, "--preset: huge not in {nano,gpt2,");
  expect_refused({"--steps=0"}, "--steps: '0' is not an integer of at least 1");
  expect_refused({"--steps=abc"}, "--steps: 'abc' is not an integer of at least 1");
  expect_refused({"--steps=1.5"}, "--steps: '1.5' is not an integer of at least 1");
  expect_refused({"--steps=010"}, "--steps: '010' is not an integer of at least 1");  // octal?
  expect_refused({"--steps="}, "--steps: ");
  expect_refused({"--steps=99999999999999999999"}, "--steps: 99999999999999999999 is too large");
  expect_refused({"--seed=-1"}, "--seed: '-1' is not an integer of at least 0");
  expect_refused({"--threads=100000"}, "--threads: 100000 is too large; expected at most 1024");
  expect_refused({"--lr=-1"}, "--lr: '-1' is not a number of at least 0");
  expect_refused({"--lr=nan"}, "--lr: 'nan' is not a number of at least 0");
  expect_refused({"--lr=1e-3", "--min-lr=1e-2"}, "--min-lr 0.01 is above --lr 0.001");
  expect_refused({"--dropout=1"}, "--dropout: '1' is not a number in [0, 1)");
  expect_refused({"--beta1=x"}, "--beta1: 'x' is not a number in [0, 1)");
  expect_refused({"--device=cuda"}, "; choose --device=cpu, or auto for the best there is");
  expect_refused({"--stepz=3"}, "--stepz");
  expect_refused({"word"}, "word");
}

TEST_F(BadInputTest, OutputThatCannotBeWritten) {
  expect_refused({"--out=text.txt/deeper"}, "cannot make the folder text.txt/deeper");
  std::filesystem::create_directories(folder_ + "/run");
  std::filesystem::create_symlink("/dev/full", folder_ + "/run/metrics.jsonl");
  const Result result = run("train", tiny({"--out=run"}), folder_);
  expect_error(result, "train", "cannot write run/metrics.jsonl: No space left on device");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/run/config.json.partial"));
}

TEST_F(BadInputTest, DivergingRun) {
  for (const char* tp : {"--tp=1", "--tp=2"}) {
    std::filesystem::remove_all(folder_ + "/out");
    const Result result =
        run("train",
            tiny({tp, "--lr=1e6", "--grad-clip=0", "--warmup-steps=0", "--steps=9", "--out=out"}),
            folder_);
    expect_error(result, "train", "the run has diverged; lower --lr (1000000) or set --grad-clip");
    for (const std::string& line : lines(content(folder_ + "/out/metrics.jsonl")))
      EXPECT_EQ(line.find("null"), std::string::npos) << "a loss that is no number";
  }
}

TEST_F(BadInputTest, OtherPrograms) {
  expect_error(run("forward_tp", {"--tp=3"}, folder_), "forward_tp",
               "n_heads 4 is not divisible by tp=3; choose tp from {1, 2, 4}");
  expect_error(run("forward_tp", {"--tp=x"}, folder_), "forward_tp", "--tp: 'x'");
  expect_error(run("bench", {"--preset=nano", "--tp=3"}, folder_), "bench", "choose tp from");
  expect_error(run("bench", {"--steps=0"}, folder_), "bench", "--steps: '0'");
}

int status_of(const std::function<void(Processes&)>& body, std::string& err) {
  ::testing::internal::CaptureStderr();
  const int status = run_program("tool", body);
  err = ::testing::internal::GetCapturedStderr();
  return status;
}

TEST(RunProgramTest, ReportsARankThatThrowsOnce) {
  std::string err;
  const int status = status_of(
      [](Processes&) {
        run_ranks(2, 1, [](Communicator& world) {
          if (world.rank() == 1) throw std::runtime_error("rank one\nfailed");
          Tensor x = Tensor::zeros({10});
          world.all_reduce(x);
        });
      },
      err);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(err, "tool: error: rank one failed\n");
}

TEST(RunProgramTest, ReportsExceptionsOfAnyType) {
  std::string err;
  EXPECT_EQ(status_of([](Processes&) { throw 42; }, err), 1);
  EXPECT_EQ(err, "tool: error: an exception that is not a std::exception\n");
  EXPECT_EQ(status_of([](Processes&) {}, err), 0);
  EXPECT_EQ(err, "");
}

}  // namespace
}  // namespace shardgrad::tool_testing
