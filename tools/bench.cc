// Measures full training steps against what the machine can do:
// `bazel run //tools:bench -- --preset=gpt2 --batch-size=4 --seq-len=64 --tp=1`.
#include "files/whole_file.h"
#include "tools/bench_options.h"
#include "tools/bench_report.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

void run(BenchOptions& options, Processes& processes) {
  std::vector<BenchResult> results;
  nlohmann::ordered_json numbers = nlohmann::ordered_json::array();
  const bool leads = processes.leads();
  if (leads) fmt::print("machine     {}, {} cores\n", processor_name(), available_cores());
  for (BenchCase& task : options.cases) {
    results.push_back(run_bench(task, options.rounds, processes));
    if (!leads) continue;
    if (options.cases.size() > 1) fmt::print("\n");
    print_result(task, results.back());
    numbers.push_back(to_json(task, results.back()));
  }
  if (!leads) return;
  if (options.cases.size() > 1) print_summary(options.cases, results);
  if (options.json.empty()) return;
  write_whole_file(options.json, nlohmann::ordered_json{{"processor", processor_name()},
                                                        {"cores", available_cores()},
                                                        {"results", numbers}}
                                         .dump(2) +
                                     "\n");
  fmt::print("\nwrote {}\n", options.json);
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  return shardgrad::run_program("bench", [&](shardgrad::Processes& processes) {
    shardgrad::BenchOptions options;
    if (shardgrad::parse_bench_options(argc, argv, options)) shardgrad::run(options, processes);
  });
}
