#include "tools/sample.h"

#include "model/generate.h"

namespace shardgrad {

std::string sample_text(const GPTModel& model, const std::string& prompt, std::int64_t count,
                        std::int64_t window, double temperature, std::uint64_t seed) {
  std::vector<std::int32_t> tokens;
  for (char byte : prompt) tokens.push_back(static_cast<unsigned char>(byte));
  GenerationOptions options;
  options.sampling.temperature = temperature;
  options.seed = seed;
  options.max_new_tokens = count;
  std::string text = prompt;
  for (std::int32_t token : Generator(model, window, /*kept=*/window).generate(tokens, options)) {
    text += static_cast<char>(token);
  }
  return text;
}

}  // namespace shardgrad
