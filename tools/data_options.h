// What a training run learns from, as its command line says it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "data/token_dataset.h"
#include "data/token_files.h"
#include "data/tokenizer.h"

namespace shardgrad {

/// The data options of a program.
struct DataOptions {
  std::string path;                        ///< text, or token files; empty: the C++ source of Eigen
  std::string held_out_path;               ///< empty: beside `path`, or the last tenth of it
  std::string tokenizer;                   ///< see load_tokenizer(); empty: bytes, for text
  std::optional<std::int64_t> vocab_size;  ///< of token files that come without a tokenizer

  /// Whether the data are token ids already: the names of the files end in .bin.
  bool is_tokens() const;
  /// Whether a token is a byte, so that losses are per byte.
  bool is_bytes() const { return !is_tokens() && (tokenizer.empty() || tokenizer == "bytes"); }
};

/// Adds --data, --val-data, --tokenizer and --vocab-size.
void add_data_options(CLI::App& app, DataOptions& options, const std::string& group);

/// Makes the paths relative to where the user stands. Call once, after parsing.
void resolve_paths(DataOptions& options);

/// The tokenizer; null for token files that come without. @throws Error as load_tokenizer().
std::shared_ptr<const Tokenizer> tokenizer_of(const DataOptions& options);

/// The size of the vocabulary: --vocab-size, else the tokenizer's.
/// @throws Error when neither is there, or the first is smaller than the second.
std::int64_t vocab_size_of(const DataOptions& options);

/// The data, and how to describe them.
struct TrainingData {
  DatasetSplit split;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< null for token files that come without
  std::string description;                     ///< "NAME: 1,234 bytes to learn from, 12 held out"
};

/// Reads text and encodes it, or maps token files. What is held out is --val-data; else, of token
/// files with "train" in their names, those with "val" instead, if there are any; else the last
/// tenth. @throws Error when something is missing, malformed, or too short for sequences of
/// seq_len.
TrainingData load_training_data(const DataOptions& options, std::int64_t seq_len);

/// "812,345".
std::string grouped(std::int64_t number);

}  // namespace shardgrad
