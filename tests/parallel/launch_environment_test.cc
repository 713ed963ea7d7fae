// Whether a process is taken for a rank of several, by the variables that launchers leave.
#include "parallel/launch_environment.h"

#include <gtest/gtest.h>

#include <map>

#include "parallel/processes.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

LaunchEnvironment with(const std::map<std::string, std::string>& variables) {
  return launch_environment([&](const char* name) -> const char* {
    const auto variable = variables.find(name);
    return variable == variables.end() ? nullptr : variable->second.c_str();
  });
}

void expect(const LaunchEnvironment& started, const std::string& launcher, int rank, int size) {
  EXPECT_EQ(started.launcher, launcher);
  EXPECT_EQ(started.rank, rank);
  EXPECT_EQ(started.size, size);
}

TEST(LaunchEnvironmentTest, ByItself) { expect(with({{"HOME", "/root"}}), "", 0, 0); }

TEST(LaunchEnvironmentTest, Mpirun) {
  expect(with({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"PMIX_RANK", "3"}}),
         "mpirun", 3, 4);
  expect(with({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}), "mpirun", 0, 1);
  // In a job of Slurm, whose step is mpirun's own.
  expect(with({{"OMPI_COMM_WORLD_SIZE", "4"},
               {"OMPI_COMM_WORLD_RANK", "1"},
               {"SLURM_JOB_ID", "7"},
               {"SLURM_STEP_ID", "0"},
               {"SLURM_STEP_NUM_TASKS", "2"}}),
         "mpirun", 1, 4);
}

TEST(LaunchEnvironmentTest, OtherLaunchers) {
  expect(with({{"PMIX_RANK", "2"}, {"PMIX_NAMESPACE", "job"}}), "a PMIx launcher", 2, 0);
  expect(with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}), "a PMI launcher", 1, 2);
}

TEST(LaunchEnvironmentTest, Srun) {
  std::map<std::string, std::string> step{{"SLURM_JOB_ID", "7"},
                                          {"SLURM_STEP_ID", "0"},
                                          {"SLURM_STEP_NUM_TASKS", "4"},
                                          {"SLURM_PROCID", "2"}};
  expect(with(step), "srun", 2, 4);  // without MPI: found out later
  step["PMIX_RANK"] = "2";
  expect(with(step), "srun", 2, 4);
  step["SLURM_STEP_NUM_TASKS"] = "1";
  step["PMIX_RANK"] = "0";
  expect(with(step), "srun", 0, 1);
  step.erase("PMIX_RANK");
  expect(with(step), "", 0, 0);
}

TEST(LaunchEnvironmentTest, AShellOfSlurmIsNoRank) {
  const std::map<std::string, std::string> batch{
      {"SLURM_JOB_ID", "7"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}};
  expect(with(batch), "", 0, 0);
  for (const char* step : {"4294967290", "4294967291"}) {
    std::map<std::string, std::string> shell = batch;
    shell["SLURM_STEP_ID"] = step;
    shell["SLURM_STEP_NUM_TASKS"] = "4";
    shell["PMIX_RANK"] = "0";
    expect(with(shell), "", 0, 0);
  }
}

// This test is linked without MPI.
TEST(ProcessesTest, SeveralProcessesNeedMpi) {
  ASSERT_FALSE(mpi_linked());
  const std::string message = error_of([] { Processes({"mpirun", 1, 4}); });
  EXPECT_NE(message.find("built without MPI"), std::string::npos) << message;
}

TEST(ProcessesTest, ByItselfTheRanksAreThreads) {
  Processes processes(LaunchEnvironment{});
  EXPECT_FALSE(processes.place().launched_by_mpi);
  EXPECT_TRUE(processes.leads());
  EXPECT_EQ(processes.world_size(3), 3);
  EXPECT_EQ(processes.threads_per_rank(3, 5), 5);
  EXPECT_EQ(processes.threads_per_rank(1, 0), available_cores());
  RunOptions options;
  options.devices.resize(3);
  processes.run_ranks(options, [](Communicator& world) {
    Tensor x = Tensor::full({2}, world.rank());
    world.all_reduce(x);
    EXPECT_EQ(x.data<float>()[1], 3.0f);
  });
}

}  // namespace
}  // namespace shardgrad
