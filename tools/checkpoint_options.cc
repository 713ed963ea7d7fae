#include "tools/checkpoint_options.h"

#include <filesystem>

#include "checkpoint/checkpoint_folder.h"
#include "checkpoint/trainer_state.h"
#include "tensor/error.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

constexpr const char* kGroup = "Checkpoints";

namespace fs = std::filesystem;

// The folder of the run that `checkpoint` belongs to; empty if it stands alone.
std::string run_folder_of(const std::string& checkpoint) {
  const fs::path above = fs::path(checkpoint).lexically_normal().parent_path();
  return above.filename() == "checkpoints" ? above.parent_path().string() : "";
}

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

// The newest checkpoint of the run in `out`, or "".
std::string newest_of(const std::string& out) {
  const std::vector<SavedCheckpoint> found = checkpoints_in(checkpoints_folder(out));
  return found.empty() ? "" : found.back().path;
}

// "--name=value" of an option that was given. Of flags the value is true or false.
std::string argument_of(const CLI::Option& option) {
  return fmt::format("--{}={}", option.get_lnames().front(), option.results().back());
}

}  // namespace

void add_checkpoint_options(CLI::App& app, CheckpointOptions& options) {
  app.add_option("--save-interval", options.save_interval,
                 "Steps between checkpoints; 0: only at the end, and when SIGINT (Ctrl-C) or "
                 "SIGTERM stops the run")
      ->check(at_least(0))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--keep-checkpoints", options.keep,
                 "Of the run's checkpoints, so many of the newest are kept; 0: all")
      ->check(at_least(0))
      ->capture_default_str()
      ->group(kGroup);
  app.add_flag("--save,!--no-save", options.save, "Whether to write checkpoints (default: yes)")
      ->group(kGroup);
  app.add_option(
         "--resume", options.resume,
         "Go on from this checkpoint, or from the newest of the run in this folder. Options "
         "not given are that run's; the layout may differ. auto: the newest below --out, "
         "from the beginning if there is none")
      ->group(kGroup);
  app.add_option("--init", options.init,
                 "Start from these weights: a folder with config.json and model.safetensors of a "
                 "GPT-2, as Hugging Face's transformers or this program writes it")
      ->group(kGroup);
}

std::vector<std::string> with_resumed_options(int argc, const char* const* argv) {
  std::vector<std::string> given(argv + 1, argv + argc);
  CLI::App scan;
  std::string resume, out;
  scan.set_help_flag();
  scan.allow_extras();
  scan.add_option("--resume", resume)->take_last();
  scan.add_option("--out", out)->take_last();
  // What is wrong with it is said by who parses all of it.
  try {
    scan.parse(argc, argv);
  } catch (const CLI::ParseError&) {
    resume.clear();
  }
  std::string checkpoint;
  if (resume == "auto") {
    require(!out.empty(), "train",
            "--resume=auto looks for checkpoints below --out; give the folder with --out=DIR");
    checkpoint = newest_of(user_path(out));
  } else if (!resume.empty()) {
    checkpoint = find_checkpoint(user_path(resume));
  }
  std::vector<std::string> line{argv[0]};
  if (!checkpoint.empty()) {
    const TrainerState state = read_trainer_state(checkpoint);
    line.insert(line.end(), state.arguments.begin(), state.arguments.end());
    const std::string folder = run_folder_of(checkpoint);
    // Absolute, since relative paths are the user's: see user_path().
    if (!folder.empty()) line.push_back("--out=" + fs::absolute(folder).string());
  }
  line.insert(line.end(), given.begin(), given.end());
  if (!checkpoint.empty()) line.push_back("--resume=" + fs::absolute(checkpoint).string());
  return line;
}

void complete_checkpoint_options(const CLI::App& app, const std::string& out,
                                 CheckpointOptions& options) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    if (name != "resume" && name != "out" && name != "config" && name != "help") {
      options.arguments.push_back(argument_of(*option));
    }
  }
  if (options.resume == "auto") options.resume.clear();
  if (!options.init.empty()) options.init = user_path(options.init);
  const CLI::Option* resume = app.get_option("--resume");
  for (const std::string& value : resume->results()) {
    options.resume_auto = options.resume_auto || value == "auto";
  }
  if (options.resume.empty()) return;
  options.resumed_step = read_trainer_state(options.resume).step;
  const std::vector<SavedCheckpoint> there = checkpoints_in(checkpoints_folder(out));
  require(there.empty() || there.back().step <= options.resumed_step || !continues_in(out, options),
          "train",
          "the run in {} has a checkpoint of step {}, after the one to go on from, of step {}; "
          "resume the newest (--resume={}), choose another --out, or remove the later ones",
          out, there.empty() ? 0 : there.back().step, options.resumed_step, out);
}

bool continues_in(const std::string& out, const CheckpointOptions& options) {
  return !options.resume.empty() && same_folder(run_folder_of(options.resume), out);
}

void require_no_other_run(const std::string& out, const CheckpointOptions& options) {
  if (continues_in(out, options)) return;
  // A run that was ended before its first checkpoint begins again.
  if (options.resume_auto && newest_of(out).empty()) return;
  std::error_code error;
  const bool exists = fs::exists(out + "/config.json", error) ||
                      fs::is_regular_file(out + "/metrics.jsonl", error) || !newest_of(out).empty();
  require(!exists, "train",
          "there is a run in {} already; go on with it (--resume={}), choose another --out, or "
          "remove it",
          out, out);
}

std::string checkpoints_folder(const std::string& out) { return out + "/checkpoints"; }

}  // namespace shardgrad
