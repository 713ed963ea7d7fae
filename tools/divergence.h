// What a training run says when it has diverged.
#pragma once

#include <string>

#include "checkpoint/trainer_state.h"
#include "tools/train_options.h"

namespace shardgrad {

/// The newest checkpoint from before the last step that changed the parameters: the parameters
/// since then are those that went wrong. "" if there is none. `state` counts the step at which that
/// was noticed.
std::string last_good_checkpoint(const TrainOptions& options, const TrainerState& state);

/// Why the run cannot go on after the step that `state` counts last, whose loss is `loss`, and the
/// options with which it can from its last good checkpoint, if there is one.
std::string divergence_message(const TrainOptions& options, const TrainerState& state, double loss);

}  // namespace shardgrad
