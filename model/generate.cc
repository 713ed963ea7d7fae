#include "model/generate.h"

#include <algorithm>

namespace shardgrad {
namespace {

constexpr const char* kName = "Generator";

}  // namespace

Generator::Generator(const GPTModel& model, std::int64_t window, std::int64_t kept)
    : model_(model), kept_(kept), cache_(model.make_cache(1, window)) {
  require(kept >= 1 && kept <= window, kName, "kept is {}; expected 1 to the window of {}", kept,
          window);
}

std::vector<double> Generator::logits_after(const std::vector<std::int32_t>& tokens) {
  require(!tokens.empty(), kName, "there are no tokens to continue; expected at least one");
  // At least the last token is computed: its logits are asked for.
  const auto [differs, _] =
      std::mismatch(cached_.begin(), cached_.end(), tokens.begin(), tokens.end() - 1);
  const std::int64_t known = differs - cached_.begin();
  cached_.resize(known);
  cache_.set_length(known);
  const std::vector<std::int32_t> rest(tokens.begin() + known, tokens.end());
  const auto count = static_cast<std::int64_t>(rest.size());
  const Tensor logits = model_.next_token_logits(Tensor::from(rest, {1, count}), cache_);
  cached_ = tokens;
  return logits.to(Device{}).to(DType::Float64).to_vector<double>();
}

std::vector<std::int32_t> Generator::generate(const std::vector<std::int32_t>& prompt,
                                              const GenerationOptions& options,
                                              const std::function<void(std::int32_t)>& on_token) {
  options.sampling.validate();
  require(!prompt.empty(), kName, "the prompt is empty; expected at least one token");
  const auto window = static_cast<std::size_t>(cache_.capacity());
  std::vector<std::int32_t> text = prompt;
  std::size_t first = text.size() > window ? text.size() - window : 0;  // that the model sees
  for (std::int64_t position = 0; position < options.max_new_tokens; ++position) {
    if (text.size() - first > window) first = text.size() - static_cast<std::size_t>(kept_);
    const std::vector<std::int32_t> seen(text.begin() + first, text.end());
    const std::int32_t token =
        sample_token(logits_after(seen), text, options.sampling, options.seed, position);
    if (token == options.stop_token) break;
    text.push_back(token);
    if (on_token) on_token(token);
  }
  return {text.begin() + static_cast<std::ptrdiff_t>(prompt.size()), text.end()};
}

}  // namespace shardgrad
