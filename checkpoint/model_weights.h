// The weights of a model alone, without anything of a training run.
#pragma once

#include "checkpoint/gpt2_format.h"
#include "model/gpt_model.h"

namespace shardgrad {

/// Fills this rank's part of the parameters from a folder with a model of the same shape, in any
/// stored dtype. Padding becomes zero.
void read_weights(const GPTModel& model, const Gpt2Folder& folder);

}  // namespace shardgrad
