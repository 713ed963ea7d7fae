#include "data/token_dataset.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tensor/error.h"

namespace shardgrad {

struct TokenDataset::Runs {
  std::vector<TokenRun> runs;
  std::vector<std::int64_t> ends;  // of each run, in tokens from the first run's start
  std::int64_t vocab_size = 0;

  std::size_t run_at(std::int64_t position) const {
    return static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), position) -
                                    ends.begin());
  }
  std::int64_t start_of(std::size_t run) const { return ends[run] - runs[run].size; }
};

TokenDataset::TokenDataset(std::vector<TokenRun> runs, std::int64_t vocab_size) {
  auto all = std::make_shared<Runs>();
  all->vocab_size = vocab_size;
  for (const TokenRun& run : runs) all->ends.push_back(end_ += run.size);
  all->runs = std::move(runs);
  runs_ = std::move(all);
}

TokenDataset::TokenDataset(std::vector<TokenId> tokens)
    : TokenDataset(
          [&] {
            const auto memory = std::make_shared<const std::vector<TokenId>>(std::move(tokens));
            return std::vector<TokenRun>{
                {"memory", 0, memory->data(), static_cast<std::int64_t>(memory->size()), memory}};
          }(),
          kMostTokens) {}

TokenId TokenDataset::operator[](std::int64_t position) const {
  const std::size_t run = runs_->run_at(begin_ + position);
  return runs_->runs[run].tokens[begin_ + position - runs_->start_of(run)];
}

void TokenDataset::read(std::int64_t start, std::int64_t count, std::int32_t* ids) const {
  require(start >= 0 && count >= 0 && start <= size() && count <= size() - start,
          "TokenDataset::read", "start {} and count {} are out of range for {} tokens", start,
          count, size());
  std::int64_t position = begin_ + start;
  for (std::size_t i = runs_->run_at(position); count > 0; ++i) {
    const TokenRun& run = runs_->runs[i];
    const std::int64_t first = position - runs_->start_of(i);
    const std::int64_t length = std::min(count, run.size - first);
    for (std::int64_t at = first; at < first + length; ++at) {
      const TokenId id = run.tokens[at];
      if (id >= runs_->vocab_size) {
        fail("TokenDataset::read",
             "{}: token id {} at offset {} is outside the vocabulary of {}; is it the vocabulary "
             "that the file was made with?",
             run.path, id, run.first_byte + at * static_cast<std::int64_t>(sizeof(TokenId)),
             runs_->vocab_size);
      }
      *ids++ = id;
    }
    position += length;
    count -= length;
  }
}

TokenDataset TokenDataset::slice(std::int64_t start, std::int64_t length) const {
  require(start >= 0 && length >= 0 && start <= size() && length <= size() - start,
          "TokenDataset::slice", "start {} and length {} are out of range for {} tokens", start,
          length, size());
  TokenDataset part = *this;
  part.begin_ = begin_ + start;
  part.end_ = part.begin_ + length;
  return part;
}

DatasetSplit TokenDataset::split(double held_out_fraction) const {
  require(held_out_fraction >= 0.0 && held_out_fraction < 1.0, "TokenDataset::split",
          "held_out_fraction {} is out of range; expected 0 <= held_out_fraction < 1",
          held_out_fraction);
  const std::int64_t held_out = std::llround(static_cast<double>(size()) * held_out_fraction);
  return {slice(0, size() - held_out), slice(size() - held_out, held_out)};
}

}  // namespace shardgrad
