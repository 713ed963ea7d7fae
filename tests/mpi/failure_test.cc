// A rank that throws, ends early or dies ends the job: soon, with its own message, once.
#include <chrono>

#include "tests/mpi/mpirun.h"

namespace shardgrad::tool_testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FailureTest : public ToolTest {
 protected:
  // What four processes leave that are expected to fail in less than ten seconds.
  Result run_and_fail(const std::string& scenario, const std::string& program = "tests/mpi/ranks",
                      const std::vector<std::string>& options = {"--oversubscribe"}) {
    const auto start = std::chrono::steady_clock::now();
    Result result = mpirun(4, program, {scenario}, folder_, options);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)) << scenario;
    EXPECT_GT(result.status, 0) << scenario;
    return result;
  }

  void expect_failure(const std::string& scenario, const std::string& line) {
    const Result result = run_and_fail(scenario);
    EXPECT_EQ(result.status, 1) << scenario;
    EXPECT_EQ(count_of(result.err, "ranks: error: "), 1) << scenario << ":\n" << result.err;
    EXPECT_THAT(result.err, HasSubstr("ranks: error: " + line + "\n")) << scenario;
  }
};

TEST_F(FailureTest, ARankThatThrows) {
  for (const char* scenario :
       {"throw_in_collective", "throw_outside_group", "throw_with_queue", "throw_at_the_end"}) {
    expect_failure(scenario, "rank 1 failed: boom");
  }
}

TEST_F(FailureTest, TheOthersHearWhy) {
  EXPECT_THAT(run_and_fail("throw_is_heard").out,
              HasSubstr("heard: [all_reduce] rank 1 failed: boom"));
}

TEST_F(FailureTest, OutsideTheRun) {
  expect_failure("throw_on_one_before_the_run", "rank 1 failed: boom");
}

// Whichever rank is first to fail.
TEST_F(FailureTest, OfEveryRankIsReportedOnce) {
  for (const char* scenario : {"throw_everywhere", "throw_before_the_run", "no_such_scenario"}) {
    const Result result = run_and_fail(scenario);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(count_of(result.err, "ranks: error: "), 1) << result.err;
  }
}

TEST_F(FailureTest, AFailureThatIsCaughtEndsTheJobAllTheSame) {
  expect_failure("caught", "rank 1 failed: boom");
}

TEST_F(FailureTest, AKilledRank) {
  const Result result = run_and_fail("killed");
  EXPECT_THAT(result.err, HasSubstr("rank 1"));
  EXPECT_THAT(result.err, HasSubstr("signal 9"));
}

TEST_F(FailureTest, OfARankWithAGpu) {
  for (const bool deferred : {false, true}) {
    const auto run_on_gpus = [&](const std::string& scenario) {
      return run_and_fail(scenario, "tests/mpi/ranks_on_simt", on_four_gpus(deferred));
    };
    const Result thrown = run_on_gpus("throw_on_gpus");
    EXPECT_EQ(thrown.status, 1);
    EXPECT_EQ(count_of(thrown.err, "ranks: error: "), 1) << thrown.err;
    EXPECT_THAT(thrown.err, HasSubstr("ranks: error: rank 1 failed: boom\n"));

    const Result inside = run_on_gpus("throw_inside_a_call_on_gpus");
    EXPECT_EQ(inside.status, 1);
    EXPECT_EQ(count_of(inside.err, "ranks: error: "), 1) << inside.err;
    EXPECT_THAT(inside.err, HasSubstr("ranks: error: rank 1 failed: [all_reduce]"));

    const Result killed = run_on_gpus("killed_on_gpus");
    EXPECT_THAT(killed.err, HasSubstr("signal 9"));
  }
}

TEST_F(FailureTest, ARankThatReturnsEarly) {
  const Result result = run_and_fail("early_return");
  EXPECT_EQ(count_of(result.err, "ranks: error: "), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("rank 1 has finished while rank "));
  EXPECT_THAT(result.err, HasSubstr(" waits in all_reduce"));
  expect_failure("early_return_from_group",
                 "[receive] rank 3 has finished while rank 0 waits in receive");
}

TEST_F(FailureTest, AProgramWithoutMpiSaysSo) {
  const Result result = run_and_fail("cores", "tests/mpi/ranks_without_mpi");
  EXPECT_EQ(count_of(result.err,
                     "ranks: error: [run_ranks] mpirun has started this program as one "
                     "of several processes, but it was built without MPI"),
            1)
      << result.err;
  EXPECT_THAT(result.out, Not(HasSubstr("cores, ")));
}

// The launcher ends the job with the first process that ends, which must not be one that is silent.
TEST_F(FailureTest, AProgramWithoutMpiSaysSoThoughRankZeroIsLate) {
  const std::string late = "test $OMPI_COMM_WORLD_RANK != 0 || sleep 1; exec " +
                           tool_path("tests/mpi/ranks_without_mpi") + " cores";
  const Result result = mpirun(4, "/bin/sh", {"-c", late}, folder_);
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(count_of(result.err, "but it was built without MPI"), 1) << result.err;
}

}  // namespace
}  // namespace shardgrad::tool_testing
