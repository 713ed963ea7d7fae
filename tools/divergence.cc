#include "tools/divergence.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "checkpoint/checkpoint_folder.h"

namespace shardgrad {
namespace {

// What was skipped, for how many reasons there are.
std::string skipped_text(const TrainerState& state) {
  std::string text = fmt::format("{} of the steps so far", state.skipped_steps);
  if (state.skipped_in_a_row > 0)
    text += fmt::format(", the last {} among them,", state.skipped_in_a_row);
  text += " were skipped, as their gradients were not finite";
  if (state.spiked_steps > 0) {
    text += fmt::format(" or, {} times, as they were spikes", state.spiked_steps);
  }
  return text;
}

// `path` as a word of a shell's command line.
std::string shell_word(const std::string& path) {
  if (path.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                             "%+,-./:=@_") == std::string::npos) {
    return path;
  }
  std::string word = "'";
  for (const char letter : path)
    word += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return word + "'";
}

// Options that go on from `checkpoint` at half the learning rate.
std::string way_on(const TrainOptions& options, const std::string& checkpoint) {
  const double rate = options.schedule.peak / 2.0;
  std::string text = fmt::format("--resume={} --lr={}", shell_word(checkpoint), rate);
  if (options.schedule.minimum > rate) text += fmt::format(" --min-lr={}", rate);
  if (options.adamw.max_gradient_norm == 0.0) text += " --grad-clip=1";
  // A run goes on in its own folder from its newest checkpoint only.
  const std::vector<SavedCheckpoint> all = checkpoints_in(checkpoints_folder(options.out));
  if (!all.empty() && all.back().path != checkpoint) {
    text += fmt::format(" --out={}", shell_word(options.out + "-again"));
  }
  return text;
}

}  // namespace

std::string last_good_checkpoint(const TrainOptions& options, const TrainerState& state) {
  const std::int64_t last_change = state.step - state.skipped_in_a_row;
  const std::vector<SavedCheckpoint> all = checkpoints_in(checkpoints_folder(options.out));
  const auto good = std::find_if(all.rbegin(), all.rend(), [&](const SavedCheckpoint& checkpoint) {
    return checkpoint.step < last_change;
  });
  if (good != all.rend()) return good->path;
  const CheckpointOptions& start = options.checkpoints;  // perhaps of another run
  std::error_code error;
  const bool usable =
      start.resumed_step < last_change && std::filesystem::exists(start.resume, error);
  return usable ? start.resume : "";
}

std::string divergence_message(const TrainOptions& options, const TrainerState& state,
                               double loss) {
  const double clip = options.adamw.max_gradient_norm;
  const std::string good = last_good_checkpoint(options, state);
  const std::string advice = fmt::format("lower --lr ({}) or {} --grad-clip ({})",
                                         options.schedule.peak, clip > 0.0 ? "lower" : "set", clip);
  return fmt::format(
      "at step {} the loss is {}, and {}: the run has diverged; {}, {}", state.step, std::abs(loss),
      skipped_text(state), advice,
      good.empty() ? "from the beginning: there is no checkpoint from before it (--save-interval)"
                   : "from the last good checkpoint: " + way_on(options, good));
}

}  // namespace shardgrad
