// Turns text into token files, and learns vocabularies.
//   bazel run //tools:tokenize -- --data=texts/ --tokenizer=gpt2/ --out=tokens
//   bazel run //tools:tokenize -- --data=texts/ --train-bpe=8192 --out=vocabulary
#include <filesystem>
#include <fstream>

#include "data/bpe_trainer.h"
#include "data/encode_text.h"
#include "data/token_writer.h"
#include "parallel/launch.h"
#include "tensor/error.h"
#include "tools/program.h"
#include "tools/progress.h"

namespace shardgrad {
namespace {

struct Options {
  std::string data, out;
  std::string tokenizer = "bytes";
  std::string format = "nanogpt";
  double val_fraction = 0.1;
  std::int64_t shard_tokens = 100000000;
  std::int64_t bpe_vocab_size = 0;  // 0: no training
  int threads = 0;
};

// Returns false when it asked for --help.
bool parse(int argc, char** argv, Options& options) {
  CLI::App app(
      "Turns text into token files, OUT/train.bin and OUT/val.bin, which //tools:train maps into\n"
      "memory, so that they may be larger than it; or, with --train-bpe, learns a vocabulary, "
      "OUT/vocab.json\nand OUT/merges.txt, to be given to --tokenizer.\n"
      "Example: --data=texts/ --tokenizer=gpt2/ --format=llmc --out=tokens",
      "tokenize");
  app.add_option("--data", options.data,
                 "Text file; folder of them; .jsonl, with a document in the \"text\" of each line")
      ->required();
  app.add_option("--out", options.out, "Folder for what is written")->required();
  app.add_option(
         "--tokenizer", options.tokenizer,
         "bytes, or a folder with GPT-2's kind of vocabulary: vocab.json and merges.txt, or "
         "tokenizer.json. Its <|endoftext|> follows each document")
      ->capture_default_str();
  app.add_option("--format", options.format,
                 "nanogpt: nothing but 16-bit tokens; llmc: shards with llm.c's header")
      ->check(CLI::IsMember({"nanogpt", "llmc"}))
      ->capture_default_str();
  app.add_option("--val-fraction", options.val_fraction,
                 "Share of the bytes, the last ones, that goes to val; in [0, 1)")
      ->check(fraction())
      ->capture_default_str();
  app.add_option("--shard-tokens", options.shard_tokens, "Tokens of one of llm.c's shards")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_option("--train-bpe", options.bpe_vocab_size,
                 "Learn a vocabulary of so many tokens instead: 257 to 65536")
      ->check(at_least(257, kMostTokens));
  app.add_option("--threads", options.threads, "Threads; 0: one for each core")
      ->check(at_least(0, kMostThreads))
      ->capture_default_str();
  if (!parse_command_line(app, argc, argv)) return false;
  options.data = user_path(options.data);
  options.out = user_path(options.out);
  if (options.tokenizer != "bytes") options.tokenizer = user_path(options.tokenizer);
  if (options.threads == 0) options.threads = available_cores();
  return true;
}

std::int64_t bytes_of(const std::vector<TextRange>& texts) {
  std::int64_t bytes = 0;
  for (const TextRange& text : texts) bytes += text.end - text.begin;
  return bytes;
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  require(!error, "tokenize", "cannot make the folder {}: {}; choose another --out", path,
          error.message());
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  require(!file.fail(), "tokenize", "cannot write {}", path);
}

void write_part(const Options& options, const std::string& part,
                const std::vector<TextRange>& texts, const Tokenizer& tokenizer,
                Progress& progress) {
  const TokenFormat format = options.format == "llmc" ? TokenFormat::LlmC : TokenFormat::NanoGpt;
  TokenWriter writer(options.out, part, format, options.shard_tokens);
  encode_text(texts, tokenizer, options.threads,
              [&](const std::vector<TokenId>& tokens, std::int64_t bytes) {
                writer.append(tokens);
                progress.advance(bytes);
              });
  writer.finish();
  progress.clear();
  const std::vector<std::string>& paths = writer.paths();
  fmt::print("wrote {}{}: {} tokens\n", paths.front(),
             paths.size() == 1 ? "" : fmt::format(" .. {}", paths.back()), writer.tokens());
}

void write_tokens(const Options& options) {
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const std::vector<TextRange> texts = text_files(options.data);
  const TextSplit split = split_text(texts, options.val_fraction, *tokenizer);
  require(!split.training.empty(), "tokenize", "{} cannot be cut with --val-fraction {}; lower it",
          options.data, options.val_fraction);
  make_folder(options.out);
  Progress progress("tokenizing", bytes_of(texts));
  write_part(options, "train", split.training, *tokenizer, progress);
  if (!split.held_out.empty()) write_part(options, "val", split.held_out, *tokenizer, progress);
  fmt::print("{}; vocabulary of {} tokens\n", progress.summary(), tokenizer->vocab_size());
}

void train_vocabulary(const Options& options) {
  const std::vector<TextRange> texts = text_files(options.data);
  make_folder(options.out);
  Progress counting("counting words", bytes_of(texts));
  const WordCounts words =
      count_words(texts, options.threads, [&](std::int64_t bytes) { counting.advance(bytes); });
  counting.clear();
  const BpeVocabulary vocabulary = train_bpe(words, options.bpe_vocab_size, [](std::int64_t) {});
  write_text(options.out + "/vocab.json", to_vocab_json(vocabulary));
  write_text(options.out + "/merges.txt", to_merges_txt(vocabulary));
  fmt::print("{}; {} distinct words\nwrote {}/vocab.json and merges.txt: {} tokens{}\n",
             counting.summary(), words.size(), options.out, vocabulary.tokens.size(),
             static_cast<std::int64_t>(vocabulary.tokens.size()) < options.bpe_vocab_size
                 ? ", since no other pair occurs twice"
                 : "");
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  using namespace shardgrad;
  return run_program("tokenize", [&](Processes&) {
    Options options;
    if (!parse(argc, argv, options)) return;
    options.bpe_vocab_size > 0 ? train_vocabulary(options) : write_tokens(options);
  });
}
