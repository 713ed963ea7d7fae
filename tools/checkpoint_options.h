// The part of the training program's command line that is about checkpoints.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace shardgrad {

struct CheckpointOptions {
  bool save = true;                ///< at the end, and when the run is stopped
  std::int64_t save_interval = 0;  ///< and every so many steps; 0: not
  std::int64_t keep = 2;           ///< so many of the newest; 0: all
  std::string resume;              ///< the checkpoint to go on from; empty: none
  std::string init;                ///< the model to start from; empty: random weights

  bool resume_auto = false;            ///< --resume=auto, also when there was nothing to resume
  std::int64_t resumed_step = 0;       ///< that of `resume`
  std::vector<std::string> arguments;  ///< the options given, for who resumes this run
};

/// Adds --save-interval, --keep-checkpoints, --no-save, --resume and --init.
void add_checkpoint_options(CLI::App& app, CheckpointOptions& options);

/// The command line, program name first, with which a run goes on that is resumed: the options of
/// its checkpoint (with --out its folder), then those of `argv`, which count where both give one;
/// and --resume with the checkpoint that was found. Without --resume, `argv` as it is.
/// @throws Error when there is no such checkpoint.
std::vector<std::string> with_resumed_options(int argc, const char* const* argv);

/// Fills what add_checkpoint_options() leaves open, when the command line has been parsed and `out`
/// is where the run writes. @throws Error when the run in `out` has checkpoints after the one that
/// it is to go on from.
void complete_checkpoint_options(const CLI::App& app, const std::string& out,
                                 CheckpointOptions& options);

/// Whether `out` is the folder of the run that is resumed.
bool continues_in(const std::string& out, const CheckpointOptions& options);

/// @throws Error that names --resume when there is a run in `out`, and it is not resumed.
void require_no_other_run(const std::string& out, const CheckpointOptions& options);

/// Where the checkpoints of the run in `out` are.
std::string checkpoints_folder(const std::string& out);

}  // namespace shardgrad
