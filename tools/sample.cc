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

// Bytes of the UTF-8 character at the start of `text`, 0 if there is none or it is a control
// character. Source: RFC 3629, section 4.
std::size_t printable_bytes(const unsigned char* text, std::size_t size) {
  const unsigned char first = text[0];
  if (first < 0x80) return first == '\n' || first == '\t' || (first >= 0x20 && first != 0x7f);
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || first > 0xf4 || length > size) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = text[1];
  const bool control = first == 0xc2 && second < 0xa0;
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return control || overlong || no_character ? 0 : length;
}

}  // namespace

std::string printable(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data()) + at;
    const std::size_t length = printable_bytes(bytes, text.size() - at);
    result += length > 0 ? text.substr(at, length) : fmt::format("\\x{:02x}", bytes[0]);
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

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
