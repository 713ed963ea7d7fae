// A sequence of token ids, in memory or in files, and cheap parts of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace shardgrad {

struct DatasetSplit;

/// Consecutive tokens of one file.
struct TokenRun {
  std::string path;                   ///< for error messages
  std::int64_t first_byte = 0;        ///< of the first token, in the file
  const TokenId* tokens = nullptr;    ///< as long as `owner` lives
  std::int64_t size = 0;              ///< in tokens
  std::shared_ptr<const void> owner;  ///< of the memory
};

/// An immutable sequence of token ids. Copies and slices share the tokens, so every rank thread of
/// a process can hold one.
class TokenDataset {
 public:
  explicit TokenDataset(std::vector<TokenId> tokens);

  /// The tokens of the runs, one after the other, whose ids are expected to be below `vocab_size`.
  TokenDataset(std::vector<TokenRun> runs, std::int64_t vocab_size);

  std::int64_t size() const { return end_ - begin_; }

  /// The token at a position in [0, size()).
  TokenId operator[](std::int64_t position) const;

  /// Copies tokens [start, start + count) to `ids`. @throws Error when they are out of range, or an
  /// id is outside the vocabulary, with the file and the offset in it.
  void read(std::int64_t start, std::int64_t count, std::int32_t* ids) const;

  /// Tokens [start, start + length), copying nothing. @throws Error when they are out of range.
  TokenDataset slice(std::int64_t start, std::int64_t length) const;

  /// Divides the tokens: the last round(size * held_out_fraction) are held out, those before them
  /// are for training. @throws Error unless 0 <= held_out_fraction < 1.
  DatasetSplit split(double held_out_fraction) const;

 private:
  struct Runs;

  std::shared_ptr<const Runs> runs_;
  std::int64_t begin_ = 0;
  std::int64_t end_ = 0;
};

/// What a model learns from, and what it is evaluated on.
struct DatasetSplit {
  TokenDataset training;
  TokenDataset held_out;
};

}  // namespace shardgrad
