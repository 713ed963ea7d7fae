#include "tools/sample.h"

#include <algorithm>
#include <cmath>

#include "data/utf8.h"
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

// Bytes of the UTF-8 character at the start of `text`, 0 if there is none or it is a control
// character.
std::size_t printable_bytes(std::string_view text) {
  const std::size_t length = utf8_length(text);
  if (length == 0) return 0;
  const char32_t c = utf8_code_point(text.substr(0, length));
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  return control && c != '\n' && c != '\t' ? 0 : length;
}

}  // namespace

std::string printable(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = printable_bytes(std::string_view(text).substr(at));
    result += length > 0 ? text.substr(at, length)
                         : fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

std::string sample_text(const GPTModel& model, const Tokenizer& tokenizer,
                        const std::vector<std::int32_t>& prompt, std::int64_t count,
                        std::int64_t window, double temperature, std::uint64_t seed) {
  require(!prompt.empty(), "sample_text", "the prompt is empty; expected at least one token");
  NoGradGuard no_grad;
  std::vector<std::int32_t> tokens = prompt;
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
  }
  std::string text;
  for (const std::int32_t token : tokens) {
    // With a larger --vocab-size, the model knows ids that the tokenizer does not.
    if (token < tokenizer.vocab_size()) text += tokenizer.bytes_of(static_cast<TokenId>(token));
  }
  return text;
}

}  // namespace shardgrad
