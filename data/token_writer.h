// Writing token files.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "data/token_files.h"

namespace shardgrad {

/// Writes the tokens of one part of the data ("train", "val") below a folder: FOLDER/PART.bin in
/// nanoGPT's format; FOLDER/PART_000000.bin, PART_000001.bin, ... in llm.c's, each of as many
/// tokens as asked for but the last. A file has its name once it is whole; until then, .partial
/// behind it.
class TokenWriter {
 public:
  /// `shard_tokens` counts in llm.c's format only. @throws Error unless it is 1 .. 2^31 - 1.
  TokenWriter(std::string folder, std::string part, TokenFormat format, std::int64_t shard_tokens);
  ~TokenWriter();
  TokenWriter(const TokenWriter&) = delete;
  TokenWriter& operator=(const TokenWriter&) = delete;

  /// @throws Error when a file cannot be written.
  void append(const std::vector<TokenId>& tokens);

  /// Completes the last file; there is one even without any token. Nothing may follow. Without it,
  /// the last file is removed.
  void finish();

  std::int64_t tokens() const { return tokens_; }
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  void open();
  void close();
  void write(const void* data, std::size_t bytes);
  std::string partial() const { return paths_.back() + ".partial"; }

  std::string folder_, part_;
  TokenFormat format_;
  std::int64_t shard_tokens_;
  std::vector<std::string> paths_;
  std::FILE* file_ = nullptr;
  std::int64_t tokens_ = 0;
  std::int64_t in_file_ = 0;
};

}  // namespace shardgrad
