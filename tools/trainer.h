// The training loop.
#pragma once

#include "tools/train_options.h"

namespace shardgrad {

/// Trains as the options say: prints a header, progress, the validation loss and a sample, and
/// writes metrics.jsonl and config.json below options.out.
/// @throws Error when something cannot be read or written, or the loss is no longer finite.
void run_training(TrainOptions options);

}  // namespace shardgrad
