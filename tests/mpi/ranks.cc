// Runs the scenarios that are named on the command line, one after the other, and says so.
#include <cstdio>

#include "tests/mpi/scenarios.h"
#include "tools/program.h"

int main(int argc, char** argv) {
  using namespace shardgrad;
  return run_program("ranks", [&](Processes& processes) {
    std::map<std::string, mpi_testing::Scenario> scenarios = mpi_testing::communication_scenarios();
    scenarios.merge(mpi_testing::misuse_scenarios());
    scenarios.merge(mpi_testing::failure_scenarios());
    for (int i = 1; i < argc; ++i) {
      const auto scenario = scenarios.find(argv[i]);
      require(scenario != scenarios.end(), "ranks", "there is no scenario {}", argv[i]);
      scenario->second(processes);
      fmt::print("{}: {} processes are done\n", argv[i], processes.place().world_size);
    }
  });
}
