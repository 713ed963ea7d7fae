// Choosing a token against the definitions, written out: the distribution of many draws, and which
// tokens are never drawn.
#include "model/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using Tokens = std::vector<std::int32_t>;
using ::testing::HasSubstr;

std::vector<double> random_logits(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0.0, 2.0);
  std::vector<double> logits(count);
  for (double& logit : logits) logit = normal(random);
  return logits;
}

// The probabilities as the papers define them: every step on the whole vocabulary, by sorting.
std::vector<double> expected_probabilities(std::vector<double> logits, const Tokens& text,
                                           const SamplingOptions& options) {
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (std::count(text.begin(), text.end(), static_cast<std::int32_t>(id)) == 0) continue;
    logits[id] *= logits[id] < 0.0 ? options.repetition_penalty : 1.0 / options.repetition_penalty;
  }
  std::multimap<double, std::size_t, std::greater<double>> order;
  for (std::size_t id = 0; id < logits.size(); ++id) order.emplace(logits[id], id);
  std::vector<double> probabilities(logits.size());
  const auto softmax_of_first = [&](std::size_t count) {
    double sum = 0.0;
    std::size_t rank = 0;
    for (const auto& [logit, id] : order) {
      probabilities[id] = rank++ < count ? std::exp(logit / options.temperature) : 0.0;
      sum += probabilities[id];
    }
    for (double& probability : probabilities) probability /= sum;
  };
  const std::size_t most = options.top_k > 0 ? options.top_k : logits.size();
  softmax_of_first(most);
  double mass = 0.0;
  std::size_t nucleus = 0;
  for (const auto& entry : order) {
    if (mass >= options.top_p) break;
    mass += probabilities[entry.second];
    ++nucleus;
  }
  softmax_of_first(std::min(nucleus, most));
  return probabilities;
}

void expect_distribution(const SamplingOptions& options) {
  SCOPED_TRACE(fmt::format("penalty {} temperature {} k {} p {}", options.repetition_penalty,
                           options.temperature, options.top_k, options.top_p));
  const std::vector<double> logits = random_logits(12, 3);
  const Tokens text{2, 5, 5, 7, 2};
  const std::vector<double> expected = expected_probabilities(logits, text, options);
  constexpr int kDraws = 40000;
  std::vector<int> drawn(logits.size());
  for (int position = 0; position < kDraws; ++position) {
    ++drawn[sample_token(logits, text, options, 11, position)];
  }
  for (std::size_t id = 0; id < logits.size(); ++id) {
    // Five standard deviations of a binomial distribution, and nothing at all of what is cut off.
    const double p = expected[id];
    EXPECT_NEAR(drawn[id] / static_cast<double>(kDraws), p, 5 * std::sqrt(p * (1 - p) / kDraws))
        << "token " << id;
  }
}

TEST(SampleToken, DrawsFromTheDistribution) {
  expect_distribution({});
  expect_distribution({1.0, 0.7, 0, 1.0});
  expect_distribution({1.5, 1.0, 0, 1.0});
  expect_distribution({0.5, 1.0, 0, 1.0});
  expect_distribution({1.0, 1.3, 5, 1.0});
  expect_distribution({1.0, 1.3, 1, 1.0});
  expect_distribution({1.0, 1.3, 100, 1.0});
  expect_distribution({1.0, 1.0, 0, 0.8});
  expect_distribution({1.0, 2.0, 0, 0.999999});
  expect_distribution({1.0, 1.0, 0, 1e-9});
  expect_distribution({1.3, 0.9, 6, 0.7});
}

TEST(SampleToken, ALargeVocabularyIsCutWhereTheDefinitionSays) {
  const std::vector<double> logits = random_logits(50257, 4);
  for (const SamplingOptions& options :
       {SamplingOptions{1.0, 1.0, 40, 1.0}, SamplingOptions{1.2, 0.8, 0, 0.9},
        SamplingOptions{1.0, 1.0, 200, 0.5}}) {
    const std::vector<double> expected = expected_probabilities(logits, {1, 2, 3}, options);
    for (int position = 0; position < 100; ++position) {
      EXPECT_GT(expected[sample_token(logits, {1, 2, 3}, options, 1, position)], 0.0);
    }
  }
}

TEST(SampleToken, TemperatureZeroTakesTheLikeliest) {
  const SamplingOptions greedy{1.0, 0.0, 0, 1.0};
  EXPECT_EQ(sample_token({1.0, 3.0, 2.0}, {}, greedy, 5, 0), 1);
  EXPECT_EQ(sample_token({1.0, 3.0, 3.0}, {}, greedy, 5, 0), 1) << "the lower id of equals";
  const SamplingOptions penalised{2.0, 0.0, 0, 1.0};
  EXPECT_EQ(sample_token({1.0, 3.0, 2.0}, {1}, penalised, 5, 0), 2);
  EXPECT_EQ(sample_token({-1.0, -1.5}, {0}, penalised, 5, 0), 1) << "a negative logit grows worse";
  EXPECT_EQ(sample_token({1.0, 3.0, 2.0}, {1, 1, 1}, {1.4, 0.0, 0, 1.0}, 5, 0), 1)
      << "a token counts once, however often the text has it";
}

TEST(SampleToken, IsAFunctionOfSeedAndPosition) {
  const std::vector<double> logits(1000, 0.0);
  Tokens first, again, other_seed;
  for (int position = 0; position < 50; ++position) {
    first.push_back(sample_token(logits, {}, {}, 1, position));
    again.push_back(sample_token(logits, {0, 1}, {}, 1, position));
    other_seed.push_back(sample_token(logits, {}, {}, 2, position));
  }
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other_seed);
  EXPECT_GT(std::set<std::int32_t>(first.begin(), first.end()).size(), 40u);
}

TEST(SampleToken, ExtremeNumbers) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(sample_token({-kInfinity, 1.0, -kInfinity}, {}, {}, 1, 1), 1);
  EXPECT_EQ(sample_token({0.0, 1e-3}, {}, {1.0, 1e-300, 0, 1.0}, 1, 1), 1);
  EXPECT_EQ(sample_token({1000.0, -1000.0}, {}, {1.0, 1.0, 2, 0.5}, 1, 1), 0);
}

TEST(SampleToken, Errors) {
  const auto error = [](const SamplingOptions& options) {
    return error_of([&] { sample_token({0.0, 1.0}, {}, options, 0, 0); });
  };
  EXPECT_EQ(error({1.0, -1.0, 0, 1.0}),
            "[SamplingOptions] temperature is -1; expected at least 0, where 0 takes the likeliest "
            "token");
  EXPECT_THAT(error({0.0, 1.0, 0, 1.0}), HasSubstr("repetition_penalty is 0"));
  EXPECT_THAT(error({1.0, 1.0, -1, 1.0}), HasSubstr("top_k is -1"));
  EXPECT_THAT(error({1.0, 1.0, 0, 0.0}), HasSubstr("top_p is 0; expected 0 < p <= 1"));
  EXPECT_THAT(error({1.0, 1.0, 0, 1.1}), HasSubstr("top_p is 1.1"));
  EXPECT_THAT(error_of([] { sample_token({}, {}, {}, 0, 0); }), HasSubstr("no logits"));
  EXPECT_THAT(error_of([] {
                sample_token({0.0, std::nan("")}, {}, {}, 0, 0);
              }),
              HasSubstr("the logit of token 1 is NaN"));
  EXPECT_THAT(error_of([] {
                sample_token({0.0}, {1}, {2.0, 1.0, 0, 1.0}, 0, 0);
              }),
              HasSubstr("token 1 of the text is outside the vocabulary of 1"));
}

}  // namespace
}  // namespace shardgrad
