// The training loop.
#pragma once

#include "data/token_dataset.h"
#include "tools/train_options.h"

namespace shardgrad {

/// Reads the text that the options name. @throws Error when it is missing or too short.
DatasetSplit load_data(const TrainOptions& options);

/// Trains as the options say: prints a header, progress, the validation loss and a sample, and
/// writes metrics.jsonl and config.json below options.out.
/// @throws Error when something cannot be read or written, or the loss is no longer finite.
void run_training(const TrainOptions& options);

}  // namespace shardgrad
