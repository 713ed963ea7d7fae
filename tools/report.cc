// Makes the page that shows a training run, or compares several.
//   bazel run //tools:report -- runs/eigen
//   bazel run //tools:report -- runs/eigen runs/tuned --out=comparison.html
#include <map>
#include <string>
#include <vector>

#include "files/whole_file.h"
#include "report/page.h"
#include "report/run_record.h"
#include "tensor/error.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

struct Options {
  std::vector<std::string> folders;
  std::string out;
};

// Returns false when it asked for --help.
bool parse(int argc, char** argv, Options& options) {
  CLI::App app(
      "Makes one HTML file of what training runs have written: their curves over each other, their "
      "settings\nand samples. //tools:train makes it for its own run, as OUT/report.html.\n"
      "Example: runs/eigen runs/tuned --out=comparison.html",
      "report");
  app.add_option("runs", options.folders, "Folders of runs, with metrics.jsonl and config.json")
      ->required();
  app.add_option("--out", options.out,
                 "File to write (default: report.html in the folder of the run, of several runs in "
                 "the current one)");
  if (!parse_command_line(app, argc, argv)) return false;
  for (std::string& folder : options.folders) folder = user_path(folder);
  if (options.out.empty()) {
    options.out =
        options.folders.size() == 1 ? options.folders.front() + "/report.html" : "report.html";
  }
  options.out = user_path(options.out);
  return true;
}

// The runs; those that have their names in common are called by their folders.
std::vector<RunRecord> read_runs(const std::vector<std::string>& folders) {
  std::vector<RunRecord> runs;
  std::map<std::string, int> count;
  for (const std::string& folder : folders) {
    runs.push_back(read_run_record(folder));
    ++count[runs.back().name()];
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (count[runs[i].name()] > 1) runs[i].rename(folders[i]);
  }
  return runs;
}

void make_report(const Options& options) {
  write_whole_file(options.out, report_page(read_runs(options.folders)));
  fmt::print("wrote {}\n", options.out);
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  return shardgrad::run_program("report", [&](shardgrad::Processes& processes) {
    shardgrad::Options options;
    if (shardgrad::parse(argc, argv, options) && processes.leads()) shardgrad::make_report(options);
  });
}
