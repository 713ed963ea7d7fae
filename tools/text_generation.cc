#include "tools/text_generation.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>

#include "checkpoint/checkpoint_folder.h"
#include "checkpoint/model_weights.h"
#include "data/byte_tokenizer.h"
#include "data/tokenizer.h"
#include "model/generate.h"
#include "tensor/matmul_precision.h"
#include "tools/printable_text.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "generate";

using Tokens = std::vector<std::int32_t>;

// The tokenizer of the model in `folder`: --tokenizer, or what lies beside the model, or bytes for
// a vocabulary of as many.
std::shared_ptr<const Tokenizer> tokenizer_for(const GenerateOptions& options,
                                               const std::string& folder, const GPTConfig& config) {
  std::string name = options.tokenizer;
  for (const char* file : {"vocab.json", "tokenizer.json"}) {
    std::error_code error;
    if (name.empty() && std::filesystem::exists(folder + "/" + file, error)) name = folder;
  }
  if (name.empty() && config.vocab_size == ByteTokenizer().vocab_size()) name = "bytes";
  require(!name.empty(), kName,
          "the model in {} has a vocabulary of {} tokens, and there is no vocab.json or "
          "tokenizer.json beside it; name the folder that has one with --tokenizer",
          folder, config.vocab_size);
  std::shared_ptr<const Tokenizer> tokenizer = load_tokenizer(name);
  require(
      tokenizer->vocab_size() <= config.vocab_size, kName,
      "the tokenizer {} has {} tokens, but the model in {} knows {}; choose the one that it was "
      "trained with",
      name, tokenizer->vocab_size(), folder, config.vocab_size);
  return tokenizer;
}

Tokens encode(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<TokenId> tokens = tokenizer.encode(text);
  return Tokens(tokens.begin(), tokens.end());
}

// A model may have more ids than its tokenizer has tokens: they have no text.
std::string_view bytes_of(const Tokenizer& tokenizer, std::int32_t token) {
  return token < tokenizer.vocab_size() ? tokenizer.bytes_of(static_cast<TokenId>(token))
                                        : std::string_view();
}

// `path` if it has a model, else the newest checkpoint of the run there.
std::string model_folder(const std::string& path) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    std::error_code error;
    if (std::filesystem::exists(path + "/" + name, error)) return path;
  }
  return find_checkpoint(path);
}

std::string read_prompt(const GenerateOptions& options) {
  if (options.prompt_file.empty()) return options.prompt;
  std::string text;
  if (options.prompt_file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream file(options.prompt_file, std::ios::binary);
    require(file.is_open(), kName, "cannot read the prompt in {}", options.prompt_file);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  require(!text.empty(), kName,
          "the prompt{} is empty; give at least one character, or a text with --prompt=TEXT",
          options.prompt_file == "-" ? " on stdin" : " in " + options.prompt_file);
  return text;
}

// What rank 0 has, on every rank.
std::optional<Tokens> shared(const std::optional<Tokens>& tokens, Communicator& group) {
  Tensor count = Tensor::full({1}, tokens ? static_cast<double>(tokens->size()) : -1, DType::Int32);
  group.broadcast(count, 0);
  const auto size = static_cast<std::int64_t>(count.item());
  if (size <= 0) return size < 0 ? std::nullopt : std::make_optional(Tokens());
  Tensor ids =
      group.rank() == 0 ? Tensor::from(*tokens, {size}) : Tensor::empty({size}, DType::Int32);
  group.broadcast(ids, 0);
  return ids.to_vector<std::int32_t>();
}

// One rank's part of the program. Rank 0 reads and prints.
class TextGeneration {
 public:
  TextGeneration(const GenerateOptions& options, const Tokenizer& tokenizer, const GPTModel& model,
                 Communicator& world)
      : options_(options),
        tokenizer_(&tokenizer),
        world_(world),
        generator_(model, model.config().max_position_embeddings,
                   (model.config().max_position_embeddings + 1) / 2) {}

  void continue_prompt() {
    std::optional<Tokens> prompt;
    if (leads()) prompt = encode(*tokenizer_, read_prompt(options_));
    prompt = shared(prompt, world_);
    for (std::int64_t sample = 0; sample < options_.num_samples; ++sample) {
      if (options_.num_samples > 1) {
        print(fmt::format("{}--- sample {} of {}, --seed={}\n", sample == 0 ? "" : "\n", sample + 1,
                          options_.num_samples, seed_of(sample)));
      }
      continue_once(*prompt, sample, /*echo=*/true);
    }
  }

  void continue_lines() {
    for (std::optional<Tokens> line = next_line(); line; line = next_line()) {
      if (line->empty()) continue;
      for (std::int64_t sample = 0; sample < options_.num_samples; ++sample) {
        continue_once(*line, sample, /*echo=*/false);
      }
    }
  }

  std::string summary() const {
    const double seconds = first_seconds_ + later_seconds_;
    return fmt::format(
        "{} tokens in {:.2f} s, of which {:.2f} s were prompts and first tokens; then {:.0f} "
        "tokens/s; key-value cache {:.1f} MiB per rank\n",
        first_tokens_ + later_tokens_, seconds, first_seconds_,
        later_tokens_ > 0 ? static_cast<double>(later_tokens_) / later_seconds_ : 0.0,
        static_cast<double>(generator_.cache().bytes()) / (1 << 20));
  }

 private:
  using Clock = std::chrono::steady_clock;

  bool leads() const { return world_.rank() == 0; }

  std::uint64_t seed_of(std::int64_t sample) const {
    return options_.seed + static_cast<std::uint64_t>(sample);
  }

  void print(const std::string& text) const {
    if (!leads() || text.empty()) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  std::optional<Tokens> next_line() {
    std::optional<Tokens> tokens;
    std::string line;
    if (leads() && std::getline(std::cin, line)) tokens = encode(*tokenizer_, line);
    return shared(tokens, world_);
  }

  void continue_once(const Tokens& prompt, std::int64_t sample, bool echo) {
    PrintableStream stream;
    if (echo) {
      for (std::int32_t token : prompt) print(stream.add(bytes_of(*tokenizer_, token)));
    }
    GenerationOptions generation;
    generation.sampling = options_.sampling;
    generation.seed = seed_of(sample);
    generation.max_new_tokens = options_.max_new_tokens;
    if (const auto end = tokenizer_->end_of_text()) generation.stop_token = *end;
    bool first = true;
    Clock::time_point before = Clock::now();
    generator_.generate(prompt, generation, [&](std::int32_t token) {
      print(stream.add(bytes_of(*tokenizer_, token)));
      const Clock::time_point now = Clock::now();
      (first ? first_seconds_ : later_seconds_) +=
          std::chrono::duration<double>(now - before).count();
      ++(first ? first_tokens_ : later_tokens_);
      first = false;
      before = now;
    });
    print(stream.finish() + "\n");
  }

  const GenerateOptions& options_;
  const Tokenizer* tokenizer_;
  Communicator& world_;
  Generator generator_;
  double first_seconds_ = 0.0, later_seconds_ = 0.0;
  std::int64_t first_tokens_ = 0, later_tokens_ = 0;
};

}  // namespace

void run_generation(const GenerateOptions& options, Processes& processes) {
  const int tp = processes.world_size(options.tp == 0 ? 1 : options.tp);
  require(options.tp == 0 || options.tp == tp, kName,
          "--tp={}, but {} ranks were started; leave --tp out, or start {}", options.tp, tp,
          options.tp);
  const std::string path = model_folder(options.model);
  const Gpt2Folder folder(path);
  folder.config().validate(tp);
  const std::shared_ptr<const Tokenizer> tokenizer = tokenizer_for(options, path, folder.config());
  const std::vector<Device> devices = devices_of_ranks(options.device, tp, processes);
  std::string summary;
  processes.run_ranks({devices, options.threads}, [&](Communicator& world) {
    set_allow_tf32(options.device.tf32);
    GPTModel model(folder.config(), world, {dtype_of(options.device), devices[world.rank()]});
    read_weights(model, folder);
    TextGeneration generation(options, *tokenizer, model, world);
    if (options.interactive) {
      generation.continue_lines();
    } else {
      generation.continue_prompt();
    }
    if (world.rank() == 0) summary = generation.summary();
  });
  std::fputs(summary.c_str(), stderr);  // of one process
}

}  // namespace shardgrad
