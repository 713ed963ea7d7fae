// Text from a model in training.
#pragma once

#include <string>

#include "model/gpt_model.h"

namespace shardgrad {

/// Continues `prompt` by `count` byte tokens, each drawn from the softmax of the logits divided by
/// `temperature`, as a pure function of `seed`: the same on every rank, at any layout. The model
/// sees the last `window` tokens: what it was trained on, at most max_position_embeddings. Every
/// rank of the model calls it.
std::string sample_text(const GPTModel& model, const std::string& prompt, std::int64_t count,
                        std::int64_t window, double temperature, std::uint64_t seed);

}  // namespace shardgrad
