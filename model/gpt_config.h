// GPTConfig: the shape of a model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/kernels/gelu.h"

namespace shardgrad {

/// A decoder-only transformer with pre-LN blocks (Radford et al., "Language Models are Unsupervised
/// Multitask Learners", 2019).
struct GPTConfig {
  std::int64_t vocab_size = 32000;
  std::int64_t max_position_embeddings = 1024;  ///< longest sequence
  std::int64_t n_layers = 12;
  std::int64_t n_heads = 12;
  std::int64_t d_model = 768;  ///< width of the residual stream
  std::int64_t d_ff = 3072;    ///< width inside the feed-forward layer
  double dropout = 0.1;        ///< of the embedding, the attention and both residual branches
  double layer_norm_epsilon = 1e-5;
  double initializer_range = 0.02;  ///< standard deviation of the initial weights
  GeluKind gelu = GeluKind::Tanh;   ///< GPT-2's
  bool tie_embeddings = true;       ///< the output head is the token embedding

  /// @throws Error naming the field, its value and what would be right, unless the model exists and
  /// splits over `tensor_parallel_size` ranks.
  void validate(int tensor_parallel_size) const;
};

/// "nano" (bytes, 0.86 M parameters, learns in minutes on two cores), "gpt2", "gpt2-medium",
/// "gpt2-large" or "gpt2-xl". @throws Error listing them for any other name.
GPTConfig gpt_preset(const std::string& name);

/// The names that gpt_preset() knows.
const std::vector<std::string>& gpt_preset_names();

}  // namespace shardgrad
