#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/error.h"
#include "tensor/philox.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "sample_token";

void penalise_repetition(std::vector<double>& logits, const std::vector<std::int32_t>& text,
                         double penalty) {
  std::vector<bool> seen(logits.size());
  for (std::int32_t token : text) {
    require(token >= 0 && token < static_cast<std::int64_t>(logits.size()), kName,
            "token {} of the text is outside the vocabulary of {}", token, logits.size());
    if (seen[token]) continue;
    seen[token] = true;
    logits[token] = logits[token] > 0.0 ? logits[token] / penalty : logits[token] * penalty;
  }
}

// The candidates for the next token, in the order of their ids; `weights` are proportional to the
// probabilities of all tokens.
std::vector<std::int32_t> candidates(const std::vector<double>& weights,
                                     const std::vector<double>& logits,
                                     const SamplingOptions& options) {
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const bool all = options.top_k == 0 || options.top_k >= static_cast<std::int64_t>(ids.size());
  if (all && options.top_p >= 1.0) return ids;
  // A heap gives the likeliest in turn, without sorting the others.
  const auto less_likely = [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] < logits[b] : a > b;
  };
  std::vector<std::int32_t> heap = std::move(ids), likeliest;
  std::make_heap(heap.begin(), heap.end(), less_likely);
  const auto take = [&] {
    std::pop_heap(heap.begin(), heap.end(), less_likely);
    likeliest.push_back(heap.back());
    heap.pop_back();
  };
  double total = 0.0;
  if (all) {
    total = std::accumulate(weights.begin(), weights.end(), 0.0);
  } else {
    for (std::int64_t i = 0; i < options.top_k; ++i) {
      take();
      total += weights[likeliest.back()];
    }
  }
  if (options.top_p < 1.0) {
    double mass = 0.0;
    std::size_t count = 0;
    while (mass < options.top_p * total && count < logits.size()) {
      if (count == likeliest.size()) {
        if (!all) break;
        take();
      }
      mass += weights[likeliest[count++]];
    }
    likeliest.resize(count);
  }
  std::sort(likeliest.begin(), likeliest.end());
  return likeliest;
}

}  // namespace

void SamplingOptions::validate() const {
  constexpr const char* kWhere = "SamplingOptions";
  require(repetition_penalty > 0.0 && std::isfinite(repetition_penalty), kWhere,
          "repetition_penalty is {}; expected a positive number, 1 for none", repetition_penalty);
  require(temperature >= 0.0 && std::isfinite(temperature), kWhere,
          "temperature is {}; expected at least 0, where 0 takes the likeliest token", temperature);
  require(top_k >= 0, kWhere, "top_k is {}; expected at least 1, or 0 for all tokens", top_k);
  require(top_p > 0.0 && top_p <= 1.0, kWhere, "top_p is {}; expected 0 < p <= 1", top_p);
}

std::int32_t sample_token(std::vector<double> logits, const std::vector<std::int32_t>& text,
                          const SamplingOptions& options, std::uint64_t seed,
                          std::int64_t position) {
  options.validate();
  require(!logits.empty(), kName, "there are no logits");
  for (std::size_t token = 0; token < logits.size(); ++token) {
    require(!std::isnan(logits[token]), kName,
            "the logit of token {} is NaN: the model has numbers that are not finite", token);
  }
  if (options.repetition_penalty != 1.0) {
    penalise_repetition(logits, text, options.repetition_penalty);
  }
  const auto likeliest = std::max_element(logits.begin(), logits.end());  // the first of equals
  if (options.temperature == 0.0) return static_cast<std::int32_t>(likeliest - logits.begin());
  std::vector<double> weights;
  for (double logit : logits) {
    weights.push_back(std::exp((logit - *likeliest) / options.temperature));
  }
  const std::vector<std::int32_t> ids = candidates(weights, logits, options);
  std::vector<double> cumulative;
  double total = 0.0;
  for (std::int32_t id : ids) cumulative.push_back(total += weights[id]);
  const RandomStream random{seed, hash_name("sample_text")};
  const double uniform = philox_word(random, static_cast<std::uint64_t>(position)) / 4294967296.0;
  const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), uniform * total);
  return ids[std::min<std::size_t>(found - cumulative.begin(), ids.size() - 1)];
}

}  // namespace shardgrad
