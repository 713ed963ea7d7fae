#include "model/gpt_config.h"

#include <numeric>

#include "parallel/divisors.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "GPTConfig";

void require_positive(const char* field, std::int64_t value) {
  require(value > 0, kName, "{} is {}; expected at least 1", field, value);
}

GPTConfig gpt2(std::int64_t n_layers, std::int64_t n_heads, std::int64_t d_model) {
  GPTConfig config;
  config.vocab_size = 50257;
  config.n_layers = n_layers;
  config.n_heads = n_heads;
  config.d_model = d_model;
  config.d_ff = 4 * d_model;
  return config;
}

GPTConfig nano() {
  GPTConfig config;
  config.vocab_size = 256;
  config.max_position_embeddings = 256;
  config.n_layers = 4;
  config.n_heads = 4;
  config.d_model = 128;
  config.d_ff = 512;
  config.dropout = 0.0;
  config.initializer_range = 0.06;
  return config;
}

}  // namespace

void GPTConfig::validate(int tensor_parallel_size) const {
  require_positive("vocab_size", vocab_size);
  require_positive("max_position_embeddings", max_position_embeddings);
  require_positive("n_layers", n_layers);
  require_positive("n_heads", n_heads);
  require_positive("d_model", d_model);
  require_positive("d_ff", d_ff);
  require(dropout >= 0.0 && dropout < 1.0, kName, "dropout is {}; expected 0 <= p < 1", dropout);
  require(d_model % n_heads == 0, kName,
          "d_model {} is not divisible by n_heads {}; choose n_heads from {}", d_model, n_heads,
          divisors_of(d_model));
  require(tensor_parallel_size >= 1, kName, "tp is {}; expected at least 1", tensor_parallel_size);
  // Offered is what divides both.
  const std::int64_t common = std::gcd(n_heads, d_ff);
  const bool heads_divide = n_heads % tensor_parallel_size == 0;
  require(common % tensor_parallel_size == 0, kName,
          "{} {} is not divisible by tp={}; choose tp from {}", heads_divide ? "d_ff" : "n_heads",
          heads_divide ? d_ff : n_heads, tensor_parallel_size, divisors_of(common));
}

GPTConfig gpt_preset(const std::string& name) {
  if (name == "nano") return nano();
  if (name == "gpt2") return gpt2(12, 12, 768);
  if (name == "gpt2-medium") return gpt2(24, 16, 1024);
  if (name == "gpt2-large") return gpt2(36, 20, 1280);
  if (name == "gpt2-xl") return gpt2(48, 25, 1600);
  std::string known;
  for (const std::string& preset : gpt_preset_names())
    known += (known.empty() ? "" : ", ") + preset;
  fail("gpt_preset", "there is no preset '{}'; choose from {}", name, known);
}

const std::vector<std::string>& gpt_preset_names() {
  static const std::vector<std::string> names{"nano", "gpt2", "gpt2-medium", "gpt2-large",
                                              "gpt2-xl"};
  return names;
}

}  // namespace shardgrad
