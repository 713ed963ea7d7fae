#include "data/token_dataset.h"

#include <cmath>
#include <utility>

#include "tensor/error.h"

namespace shardgrad {

TokenDataset::TokenDataset(std::vector<std::uint16_t> tokens)
    : tokens_(std::make_shared<const std::vector<std::uint16_t>>(std::move(tokens))),
      begin_(0),
      end_(static_cast<std::int64_t>(tokens_->size())) {}

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
