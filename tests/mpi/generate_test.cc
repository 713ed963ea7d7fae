// The generation program under mpirun.
#include "tests/mpi/mpirun.h"

namespace shardgrad::tool_testing {
namespace {

using GenerateTest = ToolTest;

TEST_F(GenerateTest, ProcessesGiveTheTextOfThreads) {
  const Result trained = run("train", tiny({"--steps=20", "--out=run"}), folder_);
  ASSERT_EQ(trained.status, 0) << trained.err;
  std::vector<std::string> arguments{"--model=run", "--prompt-file=text.txt",
                                     "--max-new-tokens=40"};
  const Result processes = mpirun(2, "tools/generate", arguments, folder_);
  EXPECT_EQ(processes.status, 0) << processes.err;
  EXPECT_EQ(count_of(processes.err, " tokens/s; "), 1) << processes.err;
  arguments.push_back("--tp=2");
  const Result threads = run("generate", arguments, folder_);
  EXPECT_EQ(processes.out, threads.out);
  EXPECT_GT(threads.out.size(), content(folder_ + "/text.txt").size());
}

TEST_F(GenerateTest, OtherThanAllProcessesIsAnError) {
  const Result trained = run("train", tiny({"--out=run"}), folder_);
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Result result =
      mpirun(2, "tools/generate", {"--model=run", "--prompt=a", "--tp=1"}, folder_);
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(count_of(result.err, "--tp=1, but 2 ranks were started"), 1) << result.err;
}

}  // namespace
}  // namespace shardgrad::tool_testing
