// Which token comes next.
#pragma once

#include <cstdint>
#include <vector>

namespace shardgrad {

/// How a token is chosen from logits. The steps apply in the order of the fields.
struct SamplingOptions {
  /// Above 1 makes tokens that the text has already less likely: their logits are divided by it
  /// when positive, else multiplied. 1: off. Source: Keskar et al., "CTRL", arXiv:1909.05858.
  double repetition_penalty = 1.0;
  /// Divides the logits. Below 1 makes likely tokens likelier; 0: the likeliest is chosen.
  double temperature = 1.0;
  /// Only the k likeliest tokens are candidates. 0: all. Source: Fan et al., arXiv:1805.04833.
  std::int64_t top_k = 0;
  /// Of these, only the fewest likeliest whose probabilities sum up to at least p. 1: all. Source:
  /// Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv:1904.09751.
  double top_p = 1.0;

  /// @throws Error naming the field, its value and what would be right.
  void validate() const;
};

/// The token that follows `text` (token ids, the prompt included), given the logits [vocab_size]
/// there: a pure function of the arguments. `position` is that of the token among the new ones; it
/// draws its own random number from `seed`. Of tokens with equal logits the lower id counts as the
/// likelier. @throws Error when there are no logits, or one is NaN.
std::int32_t sample_token(std::vector<double> logits, const std::vector<std::int32_t>& text,
                          const SamplingOptions& options, std::uint64_t seed,
                          std::int64_t position);

}  // namespace shardgrad
