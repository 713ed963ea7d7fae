// Text from a model in training.
#pragma once

#include <string>

#include "data/tokenizer.h"
#include "model/gpt_model.h"

namespace shardgrad {

/// Continues the token ids of `prompt` by `count` tokens, each drawn from the softmax of the logits
/// divided by `temperature`, as a pure function of `seed`: the same on every rank, at any layout.
/// The model sees the last `window` tokens: what it was trained on, at most
/// max_position_embeddings. Every rank of the model calls it. Returns the text of all.
std::string sample_text(const GPTModel& model, const Tokenizer& tokenizer,
                        const std::vector<std::int32_t>& prompt, std::int64_t count,
                        std::int64_t window, double temperature, std::uint64_t seed);

}  // namespace shardgrad
