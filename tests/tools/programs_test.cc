// forward_tp, bench, and what every program does with a failing rank.
#include "parallel/launch.h"
#include "tests/tools/program_testing.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

using namespace program_testing;  // NOLINT: this file is about nothing else

std::string line_with(const std::string& text, const std::string& start) {
  const auto at = text.find(start);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

TEST(ForwardTp, IsTheSameOnAnyNumberOfRanks) {
  const ProgramResult one = run("tools/forward_tp --tp=1");
  EXPECT_EQ(one.status, 0) << one.error;
  for (int tp : {2, 4}) {
    const ProgramResult many = run("tools/forward_tp --tp=" + std::to_string(tp));
    EXPECT_EQ(many.status, 0) << many.error;
    EXPECT_NE(many.out.find("world_size: " + std::to_string(tp) + "\n"), std::string::npos);
    for (int rank = 0; rank < tp; ++rank) {
      EXPECT_EQ(line_with(many.out, "rank " + std::to_string(rank)),
                "rank " + std::to_string(rank) + ": max diff vs rank0: 0.0");
    }
    EXPECT_NE(many.out.find("input_ids shape: [2, 16]\nlogits shape: [2, 16, 10000]\nloss: 9."),
              std::string::npos)
        << many.out;
    EXPECT_EQ(line_with(many.out, "loss: "), line_with(one.out, "loss: "));
    for (const char* what : {"max diff vs tp=1 (forward): ", "max diff vs tp=1 (gradients): "}) {
      const std::string line = line_with(many.out, what);
      ASSERT_NE(line, "") << many.out;
      EXPECT_LT(std::stod(line.substr(std::string(what).size())), 1e-5);
    }
  }
  expect_error("tools/forward_tp --tp=3", "n_heads 4 is not divisible by tp=3");
}

TEST(Bench, PrintsItsNumbers) {
  const ProgramResult result =
      run("tools/bench --preset=nano --batch-size=2 --seq-len=32 --steps=2 --tp=2");
  EXPECT_EQ(result.status, 0) << result.error;
  for (const char* text : {"tokens/s", "GFLOP/s", "% of this machine's GEMM rate", "forward ",
                           "backward ", "AdamW ", "memory "}) {
    EXPECT_NE(result.out.find(text), std::string::npos) << text;
  }
  expect_error("tools/bench --preset=nano --seq-len=257", "max_position_embeddings 256");
}

TEST(RunProgram, ARankThatThrowsEndsTheProgramOnce) {
  ::testing::internal::CaptureStderr();
  const int status = run_program("test", [] {
    run_ranks(2, 1, [](Communicator& world) {
      if (world.rank() == 1) throw Error("[here] rank one\nfailed");
      Tensor x = Tensor::zeros({4});
      world.all_reduce(x);  // waits for the rank that has failed
    });
  });
  EXPECT_EQ(status, 1);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "test: error: [here] rank one failed\n");
}

}  // namespace
}  // namespace shardgrad
