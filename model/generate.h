// Continuing a text, token by token.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "model/gpt_model.h"
#include "model/sampling.h"

namespace shardgrad {

/// One continuation.
struct GenerationOptions {
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  std::int64_t max_new_tokens = 0;
  std::optional<std::int32_t> stop_token;  ///< ends the text; it is not part of it
};

/// A model and a key-value cache for one text. A token costs a pass over itself alone, and
/// attention over what the model sees. Every rank of the model makes one and makes the same calls;
/// what is returned is the same on all of them.
///
/// The model sees at most `window` tokens. When they are one too many, all but the newest `kept` go
/// out of its sight and these are computed anew, as their positions, from 0 on, are others then.
/// With kept = window the model always sees as much as it can, but from there on every token costs
/// a pass over the window; with half of it, one in window / 2 tokens does.
class Generator {
 public:
  /// `model` must outlive this. @throws Error unless 1 <= kept <= window <=
  /// max_position_embeddings.
  Generator(const GPTModel& model, std::int64_t window, std::int64_t kept);

  /// The tokens that follow `prompt`, a pure function of the arguments (up to rounding: a prompt
  /// that begins as what was computed last is not computed again). `on_token`, if there is one, is
  /// called with each as soon as it is known. Of a prompt longer than the window the model sees the
  /// end.
  /// @throws Error when the prompt is empty, or has a token outside the vocabulary.
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& prompt,
                                     const GenerationOptions& options,
                                     const std::function<void(std::int32_t)>& on_token = {});

  /// The logits [vocab_size] of what follows `tokens`, of which there are at most `window`.
  std::vector<double> logits_after(const std::vector<std::int32_t>& tokens);

  const KeyValueCache& cache() const { return cache_; }

 private:
  const GPTModel& model_;
  std::int64_t kept_;
  KeyValueCache cache_;
  std::vector<std::int32_t> cached_;  // the tokens in the cache
};

}  // namespace shardgrad
