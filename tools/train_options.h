// The command line of the training program.
#pragma once

#include <string>

#include "model/gpt_config.h"
#include "nn/optim/adamw.h"
#include "nn/optim/learning_rate_schedule.h"
#include "tools/checkpoint_options.h"
#include "tools/data_options.h"
#include "tools/device_options.h"
#include "tools/layout_options.h"

namespace shardgrad {

/// Everything that determines a training run.
struct TrainOptions {
  TrainOptions() { adamw.max_gradient_norm = 1.0; }

  std::string preset = "nano";
  GPTConfig model;  ///< the preset with what the user changed of it
  DeviceOptions device;

  TrainingLayout layout;  ///< see add_layout_options()
  int threads = 0;        ///< per rank; 0: an equal share of the cores

  DataOptions data;
  std::int64_t batch_size = 16;  ///< sequences per step, over all micro-batches
  std::int64_t seq_len = 128;    ///< tokens of a sequence
  std::int64_t grad_accum = 1;   ///< micro-batches that a step's batch is split into

  std::int64_t steps = 1400;
  LearningRateSchedule schedule;  ///< its defaults depend on the preset and on the steps
  AdamWOptions adamw;             ///< as AdamW's own, but clipping at 1.0
  double label_smoothing = 0.0;
  double spike_threshold = 0.0;   ///< see spike_limits()
  std::int64_t max_skipped = 10;  ///< skipped steps in a row that end the run
  std::uint64_t seed = 1234;

  std::int64_t eval_interval = 250;    ///< steps between evaluations
  std::int64_t eval_steps = 20;        ///< batches of an evaluation
  std::int64_t sample_interval = 250;  ///< steps between short samples; 0: none but at the end
  std::int64_t sample_tokens = 500;    ///< length of the sample at the end; 0: no sample at all
  bool tensorboard = true;             ///< whether to write event files for TensorBoard
  bool report = true;                  ///< whether to write OUT/report.html
  std::string config;                  ///< of OUT/run.toml, which --config takes
  std::string out;                     ///< folder for metrics.jsonl, config.json and checkpoints
  CheckpointOptions checkpoints;
};

/// Reads and validates the command line. Returns false when it asked for --help.
/// @throws Error that says what is wrong and what would be right.
bool parse_train_options(int argc, const char* const* argv, TrainOptions& options);

/// "cosine", "linear", "constant" or "wsd".
std::string schedule_name(ScheduleKind kind);

}  // namespace shardgrad
