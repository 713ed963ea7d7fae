#include "tools/run_checkpoints.h"

#include "tools/stop_signal.h"

namespace shardgrad {

namespace {

// The tokenizer's files, to be put beside the model. Of token files that come without a tokenizer,
// those beside the model that the run starts from.
CompanionFiles tokenizer_files(const TrainOptions& options) {
  const std::string& tokenizer = options.data.tokenizer;
  if (!tokenizer.empty())
    return tokenizer == "bytes" ? CompanionFiles() : companion_files(tokenizer);
  if (!options.data.is_tokens()) return {};
  const CheckpointOptions& start = options.checkpoints;
  const std::string& model = start.resume.empty() ? start.init : start.resume;
  return model.empty() ? CompanionFiles() : companion_files(model);
}

}  // namespace

void check_start(const TrainOptions& options) {
  const CheckpointOptions& checkpoints = options.checkpoints;
  if (!checkpoints.resume.empty()) {
    const TrainerState state =
        check_checkpoint(checkpoints.resume, options.model, dtype_of(options.device));
    require(state.seed == options.seed, "train",
            "{} is of a run with --seed={}, which decides the order of the data, but --seed={} is "
            "given; leave it out, or start another run from the weights with --init={}",
            checkpoints.resume, state.seed, options.seed, checkpoints.resume);
    require(state.step <= options.steps, "train",
            "{} is of step {}, but --steps={} asks for fewer; raise --steps", checkpoints.resume,
            state.step, options.steps);
  } else if (!checkpoints.init.empty()) {
    require_same_model(options.model, Gpt2Folder(checkpoints.init));
  }
}

RunCheckpoints::RunCheckpoints(const TrainOptions& options, GPTTraining& training,
                               const std::string& settings)
    : options_(options),
      training_(training),
      settings_(settings),
      tokenizer_(tokenizer_files(options)) {}

TrainerState RunCheckpoints::start() {
  const CheckpointOptions& options = options_.checkpoints;
  TrainerState state;
  state.seed = options_.seed;
  if (!options.resume.empty()) {
    state = load_checkpoint(training_, options.resume);
  } else if (!options.init.empty()) {
    load_weights(training_, Gpt2Folder(options.init));
  }
  // Processes have each looked for it themselves.
  Communicator& world = training_.mesh().world();
  const std::int64_t total = sum_over_ranks(state.step, world);
  require(total == state.step * world.world_size(), "train",
          "the ranks do not start from the same step: this one from {}, {} on average; do all "
          "nodes see the same {}?",
          state.step, static_cast<double>(total) / world.world_size(), options_.out);
  return state;
}

bool RunCheckpoints::after_step(TrainerState state) {
  const CheckpointOptions& options = options_.checkpoints;
  const bool stop = sum_over_ranks(stop_requested() ? 1 : 0, training_.mesh().world()) > 0;
  const bool last = stop || state.step == options_.steps;
  const bool due = options.save_interval > 0 && state.step % options.save_interval == 0;
  saved_.clear();
  if (options.save && (last || due)) {
    state.arguments = options.arguments;
    state.settings = nlohmann::ordered_json::parse(settings_);
    // While steps are skipped, the older ones may be what the run has to go back to.
    const std::int64_t keep = state.skipped_in_a_row > 0 ? 0 : options.keep;
    saved_ = save_checkpoint(training_, state, checkpoints_folder(options_.out), keep, tokenizer_);
  }
  return stop;
}

}  // namespace shardgrad
