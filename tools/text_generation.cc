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
#include "model/generate.h"
#include "tensor/matmul_precision.h"
#include "tools/printable_text.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "generate";

using Tokens = std::vector<std::int32_t>;

// Between text and the model's tokens.
struct TextCodec {
  std::function<Tokens(const std::string&)> encode;
  std::function<std::string(std::int32_t)> bytes_of;
  std::optional<std::int32_t> end_of_text;
};

// The place where the tokenizer is chosen.
TextCodec codec_for(const GPTConfig& config) {
  const std::int64_t bytes = ByteTokenizer().vocab_size();
  require(config.vocab_size == bytes, kName,
          "the model has a vocabulary of {} tokens, but text is read as bytes, of which there are "
          "{}",
          config.vocab_size, bytes);
  return {[](const std::string& text) {
            const std::vector<std::uint16_t> tokens = ByteTokenizer().encode(text);
            return Tokens(tokens.begin(), tokens.end());
          },
          [](std::int32_t token) {
            return ByteTokenizer().decode({static_cast<std::uint16_t>(token)});
          },
          std::nullopt};
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
  TextGeneration(const GenerateOptions& options, const TextCodec& codec, const GPTModel& model,
                 Communicator& world)
      : options_(options),
        codec_(codec),
        world_(world),
        generator_(model, model.config().max_position_embeddings,
                   (model.config().max_position_embeddings + 1) / 2) {}

  void continue_prompt() {
    std::optional<Tokens> prompt;
    if (leads()) prompt = codec_.encode(read_prompt(options_));
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
    if (leads() && std::getline(std::cin, line)) tokens = codec_.encode(line);
    return shared(tokens, world_);
  }

  void continue_once(const Tokens& prompt, std::int64_t sample, bool echo) {
    PrintableStream stream;
    if (echo) {
      for (std::int32_t token : prompt) print(stream.add(codec_.bytes_of(token)));
    }
    GenerationOptions generation;
    generation.sampling = options_.sampling;
    generation.seed = seed_of(sample);
    generation.max_new_tokens = options_.max_new_tokens;
    generation.stop_token = codec_.end_of_text;
    bool first = true;
    Clock::time_point before = Clock::now();
    generator_.generate(prompt, generation, [&](std::int32_t token) {
      print(stream.add(codec_.bytes_of(token)));
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
  const TextCodec& codec_;
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
  const Gpt2Folder folder(model_folder(options.model));
  folder.config().validate(tp);
  const TextCodec codec = codec_for(folder.config());
  const std::vector<Device> devices = devices_of_ranks(options.device, tp, processes);
  std::string summary;
  processes.run_ranks({devices, options.threads}, [&](Communicator& world) {
    set_allow_tf32(options.device.tf32);
    GPTModel model(folder.config(), world, {dtype_of(options.device), devices[world.rank()]});
    read_weights(model, folder);
    TextGeneration generation(options, codec, model, world);
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
