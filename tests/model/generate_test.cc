// Generation with a key-value cache against the model run anew on all of the text for each token.
#include "model/generate.h"

#include <gmock/gmock.h>

#include <tuple>

#include "tests/model/training_run.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using namespace training_run;
using Tokens = std::vector<std::int32_t>;
using ::testing::HasSubstr;

constexpr std::int64_t kContext = 37;  // of small_config()

Tokens random_tokens(std::int64_t count, std::uint64_t seed) {
  return reference::random_ids({count}, 0, 101, seed).to_vector<std::int32_t>();
}

// Runs body(model) on each of `tp` ranks. The weights are larger than initial ones, so that the
// text depends on all of what was before.
template <class Body>
void with_model(int tp, DType dtype, const Body& body, bool sequence_parallel = false) {
  run_ranks(tp, 1, [&](Communicator& world) {
    GPTConfig config = small_config(/*tied=*/tp != 2);
    config.initializer_range = 0.2;
    GPTModel model(config, world, {dtype}, {sequence_parallel});
    initialize_parameters(model, 7);
    body(model, world);
  });
}

// The logits after `tokens`, by a pass over all of them.
std::vector<double> recomputed_logits(const GPTModel& model, const Tokens& tokens) {
  const NoGradGuard no_graph;
  const auto count = static_cast<std::int64_t>(tokens.size());
  const Tensor logits = model.forward(Tensor::from(tokens, {1, count}), {}, {}).logits.value();
  return logits.slice(1, count - 1, 1).contiguous().to(DType::Float64).to_vector<double>();
}

// What Generator::generate() is to give.
Tokens recomputed_text(const GPTModel& model, const Tokens& prompt, std::int64_t window,
                       std::int64_t kept, const GenerationOptions& options) {
  Tokens text = prompt, seen = prompt;
  if (static_cast<std::int64_t>(seen.size()) > window)
    seen.erase(seen.begin(), seen.end() - window);
  for (std::int64_t position = 0; position < options.max_new_tokens; ++position) {
    if (static_cast<std::int64_t>(seen.size()) > window) {
      seen.erase(seen.begin(), seen.end() - kept);
    }
    const std::int32_t token = sample_token(recomputed_logits(model, seen), text, options.sampling,
                                            options.seed, position);
    text.push_back(token);
    seen.push_back(token);
  }
  return Tokens(text.begin() + static_cast<std::ptrdiff_t>(prompt.size()), text.end());
}

GenerationOptions sampled(std::int64_t count, std::uint64_t seed) {
  GenerationOptions options;
  options.sampling = {1.1, 0.9, 50, 0.95};
  options.seed = seed;
  options.max_new_tokens = count;
  return options;
}

GenerationOptions greedy(std::int64_t count) {
  GenerationOptions options;
  options.sampling.temperature = 0.0;
  options.max_new_tokens = count;
  return options;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN too
  }
  return largest;
}

class GenerateTest : public ::testing::TestWithParam<std::tuple<int, DType>> {};
INSTANTIATE_TEST_SUITE_P(Layouts, GenerateTest,
                         ::testing::Combine(::testing::Values(1, 2, 4),
                                            ::testing::Values(DType::Float32, DType::Float64)));

TEST_P(GenerateTest, LogitsAreThoseOfRecomputation) {
  const auto [tp, dtype] = GetParam();
  const double tolerance = dtype == DType::Float64 ? 1e-10 : 1e-4;
  with_model(tp, dtype, [&](const GPTModel& model, Communicator&) {
    const Tokens text = random_tokens(kContext, 1);
    for (std::size_t prompt : {1, 20, 37}) {
      Generator generator(model, kContext, kContext / 2);
      for (std::size_t count = prompt; count <= text.size(); ++count) {
        const Tokens seen(text.begin(), text.begin() + count);
        EXPECT_LT(largest_difference(generator.logits_after(seen), recomputed_logits(model, seen)),
                  tolerance)
            << "prompt of " << prompt << ", " << count << " tokens";
      }
    }
  });
}

TEST_P(GenerateTest, TheTextIsThatOfRecomputation) {
  const auto [tp, dtype] = GetParam();
  with_model(tp, dtype, [&](const GPTModel& model, Communicator&) {
    // Beyond the full context, too: the last prompt is longer than it.
    for (std::int64_t length : {1, 36, 60}) {
      const Tokens prompt = random_tokens(length, 2);
      for (std::int64_t kept : {kContext / 2, kContext}) {
        Generator generator(model, kContext, kept);
        for (const GenerationOptions& options : {greedy(40), sampled(40, 3)}) {
          EXPECT_EQ(generator.generate(prompt, options),
                    recomputed_text(model, prompt, kContext, kept, options))
              << "prompt of " << length << ", kept " << kept;
        }
      }
    }
  });
}

TEST(Generate, AFullContextMayBeginAgainWithOneToken) {
  with_model(1, DType::Float64, [&](const GPTModel& model, Communicator&) {
    Generator generator(model, 7, /*kept=*/1);
    EXPECT_EQ(generator.generate({5, 4, 3}, sampled(40, 3)),
              recomputed_text(model, {5, 4, 3}, 7, 1, sampled(40, 3)));
  });
}

TEST(Generate, TheTextIsTheSameOnAnyLayout) {
  const auto text_at = [](int tp, const GenerationOptions& options) {
    std::vector<Tokens> texts(tp);
    run_ranks(tp, 1, [&](Communicator& world) {
      GPTConfig config = small_config(true);
      config.initializer_range = 0.2;
      GPTModel model(config, world, {DType::Float64});
      initialize_parameters(model, 7);
      texts[world.rank()] = Generator(model, kContext, 18).generate({1, 2, 3}, options);
    });
    for (const Tokens& text : texts) EXPECT_EQ(text, texts[0]) << "ranks differ at tp=" << tp;
    return texts[0];
  };
  for (const GenerationOptions& options : {greedy(60), sampled(60, 5)}) {
    const Tokens text = text_at(1, options);
    EXPECT_EQ(text.size(), 60u);
    EXPECT_EQ(text_at(2, options), text);
    EXPECT_EQ(text_at(4, options), text);
  }
  EXPECT_NE(text_at(1, sampled(60, 6)), text_at(1, sampled(60, 5)));
}

TEST(Generate, OnlyTheLastRowOfLogitsIsGathered) {
  with_model(2, DType::Float32, [&](const GPTModel& model, Communicator& world) {
    KeyValueCache cache = model.make_cache(1, kContext);
    world.reset_stats();
    model.next_token_logits(Tensor::from(random_tokens(30, 1), {1, 30}), cache);
    const std::int64_t padded_vocabulary = 128;  // 101, of which each rank pads its part to 64
    EXPECT_EQ(world.stats().all_gather.bytes, padded_vocabulary * 4);
    // Of a new token: the embedding and two row-parallel layers in each of two blocks, one row
    // each.
    world.reset_stats();
    model.next_token_logits(Tensor::from(random_tokens(1, 1), {1, 1}), cache);
    EXPECT_EQ(world.stats().all_reduce.calls, 5);
    EXPECT_EQ(world.stats().all_reduce.bytes, 5 * 48 * 4);
  });
}

TEST(Generate, ABatchIsItsSequences) {
  with_model(2, DType::Float64, [&](const GPTModel& model, Communicator&) {
    const Tensor ids = reference::random_ids({3, 12}, 0, 101, 8);
    KeyValueCache cache = model.make_cache(3, 12);
    model.next_token_logits(ids.slice(1, 0, 7).contiguous(), cache);
    model.next_token_logits(ids.slice(1, 7, 1).contiguous(), cache);
    const std::vector<double> logits =
        model.next_token_logits(ids.slice(1, 8, 4).contiguous(), cache).to_vector<double>();
    for (std::int64_t sequence = 0; sequence < 3; ++sequence) {
      const Tokens tokens = ids.slice(0, sequence, 1).contiguous().to_vector<std::int32_t>();
      const std::vector<double> row(logits.begin() + sequence * 101,
                                    logits.begin() + (sequence + 1) * 101);
      EXPECT_LT(largest_difference(row, recomputed_logits(model, tokens)), 1e-10);
    }
  });
}

TEST(Generate, AModelWithSequenceParallelismGeneratesToo) {
  with_model(
      2, DType::Float64,
      [&](const GPTModel& model, Communicator&) {
        Generator generator(model, kContext, 18);
        EXPECT_EQ(generator.generate({1, 2, 3}, greedy(5)),
                  recomputed_text(model, {1, 2, 3}, kContext, 18, greedy(5)));
      },
      /*sequence_parallel=*/true);
}

TEST(Generate, BFloat16FollowsItsRecomputation) {
  with_model(2, DType::BFloat16, [&](const GPTModel& model, Communicator&) {
    Generator generator(model, kContext, 18);
    const Tokens text = random_tokens(kContext, 1);
    for (std::size_t count = 10; count <= text.size(); ++count) {
      const Tokens seen(text.begin(), text.begin() + count);
      const std::vector<double> logits = generator.logits_after(seen),
                                expected = recomputed_logits(model, seen);
      double difference = 0.0, norm = 0.0;
      for (std::size_t i = 0; i < logits.size(); ++i) {
        difference += (logits[i] - expected[i]) * (logits[i] - expected[i]);
        norm += expected[i] * expected[i];
      }
      EXPECT_LT(std::sqrt(difference / norm), 0.03) << count << " tokens";
    }
  });
}

TEST(Generate, StopsAtTheStopTokenAndStreams) {
  with_model(1, DType::Float64, [&](const GPTModel& model, Communicator&) {
    Generator generator(model, kContext, 18);
    const Tokens prompt{1, 2, 3};
    const Tokens all = generator.generate(prompt, sampled(30, 9));
    GenerationOptions options = sampled(30, 9);
    options.stop_token = all[20];
    Tokens streamed;
    const Tokens text =
        generator.generate(prompt, options, [&](std::int32_t token) { streamed.push_back(token); });
    const auto stop = std::find(all.begin(), all.end(), all[20]);
    EXPECT_EQ(text, Tokens(all.begin(), stop));
    EXPECT_EQ(streamed, text);
  });
}

TEST(Generate, MemoryIsAllocatedOnce) {
  with_model(2, DType::BFloat16, [&](const GPTModel& model, Communicator&) {
    Generator generator(model, kContext, 18);
    const KeyValueCache& cache = generator.cache();
    EXPECT_EQ(cache.bytes(), 2 * kContext * 2 * 48 / 2 * 2);  // layers, tokens, k and v, rank, bf16
    const Tensor before = cache.layer(0).keys_values;
    generator.generate({1, 2, 3}, greedy(60));
    EXPECT_TRUE(cache.layer(0).keys_values.shares_storage_with(before));
    EXPECT_GT(cache.length(), 18);
  });
}

TEST(Generate, Errors) {
  with_model(1, DType::Float32, [&](const GPTModel& model, Communicator&) {
    EXPECT_THAT(error_of([&] { Generator(model, 38, 1); }),
                HasSubstr("a cache for 38 tokens is longer than max_position_embeddings 37"));
    EXPECT_THAT(error_of([&] { Generator(model, 10, 11); }),
                HasSubstr("kept is 11; expected 1 to the window of 10"));
    Generator generator(model, 10, 5);
    EXPECT_THAT(error_of([&] { generator.generate({}, greedy(1)); }),
                HasSubstr("the prompt is empty"));
    EXPECT_THAT(error_of([&] { generator.generate({101}, greedy(1)); }), HasSubstr("101"));
    EXPECT_EQ(generator.generate({1}, greedy(0)), Tokens());
    KeyValueCache cache = model.make_cache(1, 3);
    const Tensor ids = Tensor::from(Tokens{1, 2}, {1, 2});
    model.next_token_logits(ids, cache);
    EXPECT_THAT(error_of([&] { model.next_token_logits(ids, cache); }),
                HasSubstr("2 more tokens do not fit into a cache that has 2 and room for 3"));
    EXPECT_THAT(error_of([&] {
                  model.next_token_logits(Tensor::from(Tokens{1, 2}, {2, 1}), cache);
                }),
                HasSubstr("input_ids has 2 sequences, but the cache 1"));
    EXPECT_THAT(error_of([&] { cache.set_length(4); }), HasSubstr("length 4 is outside [0, 3]"));
    EXPECT_THAT(error_of([&] { model.make_cache(0, 3); }), HasSubstr("all of them positive"));
  });
}

}  // namespace
}  // namespace shardgrad
