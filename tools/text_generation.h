// What the generation program does.
#pragma once

#include "tools/generate_options.h"

namespace shardgrad {

/// Loads the model on every rank and prints continuations as `options` say.
/// @throws Error when the model or the prompt cannot be read, or does not fit the options.
void run_generation(const GenerateOptions& options, Processes& processes);

}  // namespace shardgrad
