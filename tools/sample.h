// Text from a trained model.
#pragma once

#include <string>

#include "model/gpt_model.h"

namespace shardgrad {

/// Continues `prompt` by `count` byte tokens, each drawn from the softmax of the logits divided by
/// `temperature`, as a pure function of `seed`: the same on every rank, at any layout. The model
/// sees the last max_position_embeddings tokens. Every rank of the model calls it.
std::string sample_text(const GPTModel& model, const std::string& prompt, std::int64_t count,
                        double temperature, std::uint64_t seed);

}  // namespace shardgrad
