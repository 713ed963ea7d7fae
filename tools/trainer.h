// The training loop.
#pragma once

#include "parallel/processes.h"
#include "tools/train_options.h"

namespace shardgrad {

/// Trains as the options say: prints a header, progress, the validation loss and a sample, and
/// writes metrics.jsonl and config.json below options.out. Of several processes, the first does.
/// @throws Error when something cannot be read or written, or the loss is no longer finite.
void run_training(TrainOptions options, Processes& processes);

}  // namespace shardgrad
