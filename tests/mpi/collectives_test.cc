// Ranks that are processes compute what ranks that are threads do, bit for bit: the programs that
// mpirun starts here compare the two.
#include "parallel/launch.h"
#include "tests/mpi/mpirun.h"

namespace shardgrad::tool_testing {
namespace {

using ::testing::HasSubstr;

class CollectivesTest : public ToolTest {
 protected:
  void expect_done(int processes, const std::string& scenario,
                   const std::string& program = "tests/mpi/ranks",
                   const std::vector<std::string>& options = {"--oversubscribe"}) {
    const Result result = mpirun(processes, program, {scenario}, folder_, options);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(count_of(result.out, scenario + ": " + std::to_string(processes) + " processes"), 1)
        << result.out;
  }
};

TEST_F(CollectivesTest, EverySizeAndDType) {
  for (int processes : {1, 2, 3, 4}) expect_done(processes, "collectives");
}

TEST_F(CollectivesTest, MoreThanOneMessage) { expect_done(3, "large"); }

TEST_F(CollectivesTest, GroupsOfRanks) {
  for (int processes : {1, 2, 4, 5}) expect_done(processes, "groups");
}

TEST_F(CollectivesTest, SeveralThreadsAtOnce) {
  for (int processes : {2, 4}) expect_done(processes, "threads");
}

TEST_F(CollectivesTest, QueueBesideTheRank) { expect_done(3, "queue"); }

TEST_F(CollectivesTest, CudaTensorsGoThroughTheHost) {
  expect_done(3, "collectives_on_a_gpu", "tests/mpi/ranks_on_simt");
}

TEST_F(CollectivesTest, NcclBetweenGpus) {
  for (const bool deferred : {false, true}) {
    for (int processes : {2, 3}) {
      expect_done(processes, "collectives_on_gpus", "tests/mpi/ranks_on_simt",
                  on_four_gpus(deferred));
    }
    expect_done(4, "groups_on_gpus", "tests/mpi/ranks_on_simt", on_four_gpus(deferred));
  }
}

TEST_F(CollectivesTest, DifferentCallsAreErrors) {
  for (int processes : {2, 3}) expect_done(processes, "mismatches");
  expect_done(2, "send_mismatches");
}

TEST_F(CollectivesTest, RanksThatAreDoneMayGo) { expect_done(4, "early_return_of_the_done"); }

// mpirun binds each of two ranks to a core if it is not told otherwise.
TEST_F(CollectivesTest, RanksShareTheCoresOfTheNode) {
  const int cores = available_cores();
  const auto expect_cores = [&](const std::vector<std::string>& options, int expected_cores,
                                int expected_threads) {
    const Result result = run_ranks_program(2, "cores", folder_, options);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr(std::to_string(expected_cores) + " cores, " +
                                      std::to_string(expected_threads) + " threads"));
  };
  if (cores == 1) return expect_cores({"--oversubscribe"}, 1, 1);
  expect_cores({}, cores, cores / 2);
  expect_cores({"--bind-to", "none"}, cores, cores / 2);
  expect_cores({"--bind-to", "core"}, 1, 1);  // as asked
}

}  // namespace
}  // namespace shardgrad::tool_testing
