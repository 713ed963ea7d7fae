// A sequence of token ids in memory, and cheap parts of it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace shardgrad {

struct DatasetSplit;

/// An immutable sequence of token ids. Copies and slices share the tokens, so every rank thread of
/// a process can hold one.
class TokenDataset {
 public:
  explicit TokenDataset(std::vector<std::uint16_t> tokens);

  std::int64_t size() const { return end_ - begin_; }
  std::uint16_t operator[](std::int64_t position) const {
    return (*tokens_)[static_cast<std::size_t>(begin_ + position)];
  }
  /// The first token; the others follow it.
  const std::uint16_t* data() const { return tokens_->data() + begin_; }

  /// Tokens [start, start + length), copying nothing. @throws Error when they are out of range.
  TokenDataset slice(std::int64_t start, std::int64_t length) const;

  /// Divides the tokens: the last round(size * held_out_fraction) are held out, those before them
  /// are for training. @throws Error unless 0 <= held_out_fraction < 1.
  DatasetSplit split(double held_out_fraction) const;

 private:
  std::shared_ptr<const std::vector<std::uint16_t>> tokens_;
  std::int64_t begin_;
  std::int64_t end_;
};

/// What a model learns from, and what it is evaluated on.
struct DatasetSplit {
  TokenDataset training;
  TokenDataset held_out;
};

}  // namespace shardgrad
