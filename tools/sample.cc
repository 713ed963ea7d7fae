#include "tools/sample.h"

#include <algorithm>
#include <cmath>

#include "tensor/philox.h"

namespace shardgrad {
namespace {

// Draws an index with probability proportional to exp(logit / temperature).
std::int64_t draw(const std::vector<double>& logits, double temperature, double uniform) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> cumulative;
  double total = 0.0;
  for (double logit : logits) {
    cumulative.push_back(total += std::exp((logit - largest) / temperature));
  }
  const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), uniform * total);
  return std::min<std::int64_t>(found - cumulative.begin(),
                                static_cast<std::int64_t>(logits.size()) - 1);
}

}  // namespace

std::string sample_text(const GPTModel& model, const std::string& prompt, std::int64_t count,
                        std::int64_t window, double temperature, std::uint64_t seed) {
  require(!prompt.empty(), "sample_text", "the prompt is empty; expected at least one byte");
  NoGradGuard no_grad;
  std::vector<std::int32_t> tokens;
  for (char byte : prompt) tokens.push_back(static_cast<unsigned char>(byte));
  std::string text = prompt;
  const RandomStream random{seed, hash_name("sample_text")};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto seen = std::min<std::int64_t>(tokens.size(), window);
    const Tensor ids =
        Tensor::from(std::vector<std::int32_t>(tokens.end() - seen, tokens.end()), {1, seen});
    const Tensor logits = model.forward(ids, {}, {}).logits.value();
    const Tensor last = logits.reshape({seen, logits.size(2)}).slice(0, seen - 1, 1);
    const double uniform = philox_word(random, i) / 4294967296.0;
    const std::int64_t next =
        draw(last.to(DType::Float64).to_vector<double>(), temperature, uniform);
    tokens.push_back(static_cast<std::int32_t>(next));
    text += static_cast<char>(next);
  }
  return text;
}

}  // namespace shardgrad
