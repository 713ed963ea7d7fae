#include "tools/data_options.h"

#include <filesystem>

#include "data/byte_tokenizer.h"
#include "data/encode_text.h"
#include "data/text.h"
#include "parallel/launch.h"
#include "tensor/error.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

constexpr double kHeldOutFraction = 0.1;

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// "data/val_*.bin" of "data/train_*.bin", if something is there; else empty.
std::string held_out_beside(const std::string& path) {
  const std::size_t name = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  const std::size_t at = path.rfind("train");
  if (at == std::string::npos || at < name) return "";
  std::string other = path;
  other.replace(at, 5, "val");
  return matching_paths(other).empty() ? "" : other;
}

TokenDataset encode_files(const std::string& path, const Tokenizer& tokenizer) {
  std::vector<TokenId> tokens;
  encode_text(text_files(path), tokenizer, available_cores(),
              [&](const std::vector<TokenId>& more, std::int64_t) {
                tokens.insert(tokens.end(), more.begin(), more.end());
              });
  return TokenDataset(std::move(tokens));
}

TokenDataset load(const DataOptions& options, const std::string& path, const Tokenizer* tokenizer) {
  if (options.is_tokens()) return open_token_files(path, vocab_size_of(options));
  // The bytes of texts as they are, with nothing between documents but newlines.
  if (options.is_bytes() && !is_json_lines(path)) {
    return TokenDataset(tokenizer->encode(read_text(path)));
  }
  return encode_files(path, *tokenizer);
}

}  // namespace

bool DataOptions::is_tokens() const { return ends_with(path, ".bin"); }

void add_data_options(CLI::App& app, DataOptions& options, const std::string& group) {
  app.add_option(
         "--data", options.path,
         "Text file; folder of them; .jsonl, an object with \"text\" a line; or token files, "
         "nanoGPT's train.bin or llm.c's, several by a pattern in quotes: 'train_*.bin' "
         "(default: the C++ source of Eigen)")
      ->group(group);
  app.add_option("--val-data", options.held_out_path,
                 "Held-out data of the same kind (default: of token files, those named val instead "
                 "of train; else the last tenth)")
      ->group(group);
  app.add_option(
         "--tokenizer", options.tokenizer,
         "bytes, or a folder with GPT-2's kind of vocabulary: vocab.json and merges.txt, or "
         "tokenizer.json. With token files it sets the vocabulary and shows the sample as "
         "text (default: bytes for text)")
      ->group(group);
  app.add_option("--vocab-size", options.vocab_size,
                 "Tokens in the vocabulary, where no tokenizer tells: 50257 for GPT-2's")
      ->check(at_least(2, kMostTokens))
      ->group(group);
}

void resolve_paths(DataOptions& options) {
  for (std::string* path : {&options.path, &options.held_out_path}) *path = user_path(*path);
  if (options.tokenizer != "bytes") options.tokenizer = user_path(options.tokenizer);
}

std::shared_ptr<const Tokenizer> tokenizer_of(const DataOptions& options) {
  if (!options.tokenizer.empty()) return load_tokenizer(options.tokenizer);
  if (options.is_tokens()) return nullptr;
  return std::make_shared<ByteTokenizer>();
}

std::int64_t vocab_size_of(const DataOptions& options) {
  const auto tokenizer = tokenizer_of(options);
  if (!options.vocab_size) {
    require(tokenizer != nullptr, "train",
            "{} holds token ids of an unknown vocabulary; give --vocab-size (50257 for GPT-2's) or "
            "--tokenizer",
            options.path);
    return tokenizer->vocab_size();
  }
  require(tokenizer == nullptr || *options.vocab_size >= tokenizer->vocab_size(), "train",
          "--vocab-size {} is below the tokenizer's {}; leave it away, or raise it",
          *options.vocab_size, tokenizer ? tokenizer->vocab_size() : 0);
  return *options.vocab_size;
}

TrainingData load_training_data(const DataOptions& options, std::int64_t seq_len) {
  const std::string path = options.path.empty() ? eigen_corpus_path() : options.path;
  const auto tokenizer = tokenizer_of(options);
  std::string held_out_path = options.held_out_path;
  if (held_out_path.empty() && options.is_tokens()) held_out_path = held_out_beside(path);
  const TokenDataset all = load(options, path, tokenizer.get());
  const char* unit = options.is_bytes() ? "bytes" : "tokens";
  const std::int64_t least = held_out_path.empty() ? 10 * (seq_len + 1) : seq_len + 1;
  require(all.size() >= least, "train",
          "{} has {} {}, too few for --seq-len {}; give at least {}, or lower --seq-len", path,
          all.size(), unit, seq_len, least);
  DatasetSplit split = all.split(held_out_path.empty() ? kHeldOutFraction : 0.0);
  if (!held_out_path.empty()) {
    require(options.is_tokens() == ends_with(held_out_path, ".bin"), "train",
            "--data={} and --val-data={} are not of the same kind; expected text or .bin for both",
            path, held_out_path);
    split.held_out = load(options, held_out_path, tokenizer.get());
    require(split.held_out.size() > seq_len, "train",
            "{} has {} {}, too few for --seq-len {}; give at least {}", held_out_path,
            split.held_out.size(), unit, seq_len, seq_len + 1);
  }
  std::string description = fmt::format(
      "{}: {} {} to learn from, {} held out{}",
      options.path.empty() ? "the C++ source of Eigen" : path, grouped(split.training.size()), unit,
      grouped(split.held_out.size()), held_out_path.empty() ? "" : ", from " + held_out_path);
  return {std::move(split), tokenizer, std::move(description)};
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

}  // namespace shardgrad
