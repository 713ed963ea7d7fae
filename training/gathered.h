// Whole tensors out of what the ranks of a training run hold.
#pragma once

#include <map>
#include <string>

#include "training/gpt_training.h"

namespace shardgrad {

/// Whole tensors by the names of the parameters, on the host.
using NamedTensors = std::map<std::string, Tensor>;

/// All parameters of a run, put together from their shards; on every rank, each of which calls it.
/// For models that one rank has room for.
NamedTensors gather_parameters(GPTTraining& training);

/// The same of the gradients of the last step, before clipping.
NamedTensors gather_gradients(GPTTraining& training);

}  // namespace shardgrad
