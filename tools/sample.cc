#include "tools/sample.h"

#include "model/generate.h"

namespace shardgrad {

std::string sample_text(const GPTModel& model, const Tokenizer& tokenizer,
                        const std::vector<std::int32_t>& prompt, std::int64_t count,
                        std::int64_t window, double temperature, std::uint64_t seed) {
  GenerationOptions options;
  options.sampling.temperature = temperature;
  options.seed = seed;
  options.max_new_tokens = count;
  std::vector<std::int32_t> tokens = prompt;
  for (std::int32_t token : Generator(model, window, /*kept=*/window).generate(prompt, options)) {
    tokens.push_back(token);
  }
  std::string text;
  for (const std::int32_t token : tokens) {
    // With a larger --vocab-size, the model knows ids that the tokenizer does not.
    if (token < tokenizer.vocab_size()) text += tokenizer.bytes_of(static_cast<TokenId>(token));
  }
  return text;
}

}  // namespace shardgrad
