// The programs under mpirun: what they print and write is what they do with threads.
#include <nlohmann/json.hpp>

#include "tests/mpi/mpirun.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class TrainTest : public ToolTest {
 protected:
  static std::vector<json> metrics(const std::string& folder) {
    std::vector<json> result;
    for (const std::string& line : lines(content(folder + "/metrics.jsonl"))) {
      result.push_back(json::parse(line));
      result.back().erase("tokens_per_second");
    }
    return result;
  }
};

TEST_F(TrainTest, ProcessesTrainAsThreadsDo) {
  const std::vector<std::string> common = tiny({"--tp=2", "--steps=5", "--dropout=0.1"});
  const auto with_out = [&](const std::string& out) {
    std::vector<std::string> arguments = common;
    arguments.push_back("--out=" + out);
    return arguments;
  };
  const Result threads = run("train", with_out("threads"), folder_);
  const Result processes = mpirun(2, "tools/train", with_out("processes"), folder_);
  EXPECT_EQ(threads.status, 0) << threads.err;
  EXPECT_EQ(processes.status, 0) << processes.err;
  EXPECT_EQ(processes.err, "");
  EXPECT_EQ(metrics(folder_ + "/threads").size(), 5u);
  EXPECT_EQ(metrics(folder_ + "/processes"), metrics(folder_ + "/threads"));
  // One process prints, in whole lines.
  EXPECT_EQ(count_of(processes.out, "step 5  validation loss "), 1) << processes.out;
  EXPECT_EQ(count_of(processes.out, "A sample after step 4"), 1);
  EXPECT_EQ(count_of(processes.out, "A sample after step "),
            count_of(threads.out, "A sample after step "));
  EXPECT_EQ(count_of(processes.out, "wrote processes/config.json"), 1);
  EXPECT_EQ(processes.out.find('\r'), std::string::npos);
}

// With no other flag than --tp, the ranks that are left over are copies of the model.
TEST_F(TrainTest, FourProcessesAreTwoCopiesOfTwoShards) {
  const Result threads = run("train", tiny({"--tp=2", "--dp=2", "--out=threads"}), folder_);
  const Result processes = mpirun(4, "tools/train", tiny({"--tp=2", "--out=processes"}), folder_);
  EXPECT_EQ(threads.status, 0) << threads.err;
  EXPECT_EQ(processes.status, 0) << processes.err;
  EXPECT_EQ(metrics(folder_ + "/threads").size(), 4u);
  EXPECT_EQ(metrics(folder_ + "/processes"), metrics(folder_ + "/threads"));
}

// Each of the processes has a GPU, and NCCL connects them.
TEST_F(TrainTest, ProcessesWithGpusTrainAsThreadsDo) {
  std::vector<std::string> threads =
      tiny({"--device=cuda", "--tp=2", "--steps=3", "--out=threads"});
  std::vector<std::string> processes = threads;
  processes.back() = "--out=processes";
  const Result expected = run("tests/mpi/train_on_simt", threads, folder_);
  EXPECT_EQ(expected.status, 0) << expected.err;
  const Result result = mpirun(2, "tests/mpi/train_on_simt", processes, folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(metrics(folder_ + "/threads").size(), 3u);
  EXPECT_EQ(metrics(folder_ + "/processes"), metrics(folder_ + "/threads"));
  EXPECT_THAT(result.out, HasSubstr("; 2 x ")) << result.out;
  EXPECT_THAT(result.out, Not(HasSubstr("shared by")));
  // More ranks than GPUs: they share them, and what they compute is copied through the host.
  processes.back() = "--out=sharing";
  const Result sharing = mpirun(2, "tests/mpi/train_on_simt", processes, folder_,
                                {"--oversubscribe", "-x", "SIMT_DEVICES=1"});
  EXPECT_EQ(sharing.status, 0) << sharing.err;
  EXPECT_THAT(sharing.out, HasSubstr(", shared by 2 ranks"));
  EXPECT_EQ(metrics(folder_ + "/sharing"), metrics(folder_ + "/threads"));
}

TEST_F(TrainTest, ForwardOfProcesses) {
  const Result result = mpirun(2, "tools/forward_tp", {}, folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(count_of(result.out, "world_size: 2\n"), 1) << result.out;
  EXPECT_THAT(result.out, HasSubstr("rank 1: max diff vs rank0: 0.0\n"));
}

TEST_F(TrainTest, WhatEveryProcessFindsIsPrintedOnce) {
  const Result bad_flag = mpirun(3, "tools/train", {"--tp=x"}, folder_);
  EXPECT_EQ(bad_flag.status, 1);
  EXPECT_EQ(count_of(bad_flag.err, "train: error: "), 1) << bad_flag.err;
  EXPECT_THAT(bad_flag.err, HasSubstr("[command line] --tp: 'x'"));

  const Result help = mpirun(3, "tools/train", {"--help"}, folder_);
  EXPECT_EQ(help.status, 0) << help.err;
  EXPECT_EQ(count_of(help.out, "Usage: train"), 1) << help.out;
}

TEST_F(TrainTest, AFolderThatCannotBeWritten) {
  const Result result =
      mpirun(2, "tools/train", tiny({"--tp=2", "--out=/proc/no_such_folder"}), folder_);
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(count_of(result.err, "train: error: "), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("train: error: [train] cannot make the folder"));
}

}  // namespace
}  // namespace shardgrad::tool_testing
