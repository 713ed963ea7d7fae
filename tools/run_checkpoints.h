// The checkpoints of a training run: where it starts, when it saves, when it stops.
#pragma once

#include <string>

#include "checkpoint/checkpoint.h"
#include "tools/train_options.h"
#include "training/gpt_training.h"

namespace shardgrad {

/// Whether the run can start from --resume or --init, before it writes anything.
/// @throws Error that says why not.
void check_start(const TrainOptions& options);

/// One rank's part. Every rank makes one, and makes the same calls.
class RunCheckpoints {
 public:
  /// `settings`: the resolved options as JSON, kept in checkpoints for readers. Both objects must
  /// outlive this.
  RunCheckpoints(const TrainOptions& options, GPTTraining& training, const std::string& settings);

  /// Brings the run to where it starts: --resume, --init, or the weights that it has.
  /// @throws Error when it cannot, or the ranks do not start from the same.
  TrainerState start();

  /// After each step: saves if it is time, and says whether to stop, which all ranks do together.
  bool after_step(TrainerState state);

  /// The checkpoint that the last call of after_step() has written; "" if none.
  const std::string& saved() const { return saved_; }

 private:
  const TrainOptions& options_;
  GPTTraining& training_;
  std::string settings_;
  CompanionFiles tokenizer_;
  std::string saved_;
};

}  // namespace shardgrad
