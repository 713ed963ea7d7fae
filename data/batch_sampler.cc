#include "data/batch_sampler.h"

#include <algorithm>
#include <utility>

#include "data/permutation.h"
#include "tensor/philox.h"

namespace shardgrad {
namespace {

using WideProduct = unsigned __int128;

/// A number in [0, bound): the high half of the product of 64 random bits and `bound`. None is
/// likelier than another by more than one part in 2^64 / bound.
std::int64_t uniform_below(std::int64_t bound, const PhiloxWords& words) {
  const std::uint64_t bits = std::uint64_t{words.word[0]} << 32 | words.word[1];
  return static_cast<std::int64_t>(WideProduct{bits} * static_cast<std::uint64_t>(bound) >> 64);
}

}  // namespace

BatchSampler::BatchSampler(TokenDataset dataset, std::int64_t seq_len, std::uint64_t seed)
    : dataset_(std::move(dataset)), seq_len_(seq_len), seed_(seed) {
  require(seq_len >= 1, "BatchSampler", "seq_len {} is out of range; expected 1 or more", seq_len);
  const std::int64_t tokens = dataset_.size();
  if (tokens > seq_len) return;
  fail("BatchSampler",
       "{} tokens are too few for a window of seq_len + 1 = {}; {}give it more text", tokens,
       static_cast<std::uint64_t>(seq_len) + 1,
       tokens < 2 ? "" : fmt::format("choose seq_len <= {} or ", tokens - 1));
}

template <class StartOf>
Batch BatchSampler::gather(std::int64_t first_sequence, std::int64_t count,
                           const StartOf& start_of) const {
  const Shape shape{count, seq_len_};
  Batch batch{Tensor::empty(shape, DType::Int32), Tensor::empty(shape, DType::Int32)};
  auto* inputs = batch.input_ids.data<std::int32_t>();
  auto* targets = batch.targets.data<std::int32_t>();
  std::vector<std::int32_t> window(static_cast<std::size_t>(seq_len_ + 1));
  for (std::int64_t i = 0; i < count; ++i) {
    dataset_.read(start_of(first_sequence + i), seq_len_ + 1, window.data());
    std::copy_n(window.data(), seq_len_, inputs + i * seq_len_);
    std::copy_n(window.data() + 1, seq_len_, targets + i * seq_len_);
  }
  return batch;
}

std::int64_t BatchSampler::training_start(std::int64_t sequence) const {
  const std::int64_t windows = epoch_sequences(), epoch = sequence / windows;
  const auto stream_of = [&](const char* name) {
    return RandomStream{seed_, mix_stream(hash_name(name), static_cast<std::uint64_t>(epoch))};
  };
  const std::int64_t left_out = dataset_.size() - 1 - windows * seq_len_;
  const std::int64_t offset = uniform_below(left_out + 1, philox4x32(stream_of("data/offset"), 0));
  return offset + seq_len_ * Permutation(windows, stream_of("data/order"))(sequence % windows);
}

Batch BatchSampler::training_batch(std::int64_t first_sequence, std::int64_t count) const {
  require(first_sequence >= 0 && count >= 1, "BatchSampler::training_batch",
          "first_sequence {} and count {}; expected first_sequence >= 0 and count >= 1",
          first_sequence, count);
  return gather(first_sequence, count,
                [&](std::int64_t sequence) { return training_start(sequence); });
}

Batch BatchSampler::evaluation_batch(std::int64_t first_sequence, std::int64_t count,
                                     std::int64_t total) const {
  require(first_sequence >= 0 && count >= 1 && count <= total && first_sequence <= total - count,
          "BatchSampler::evaluation_batch",
          "first_sequence {} and count {} do not lie within total {}; expected "
          "0 <= first_sequence, 1 <= count, first_sequence + count <= total",
          first_sequence, count, total);
  return gather(first_sequence, count, [&](std::int64_t sequence) {
    if (total == 1) return std::int64_t{0};
    // The first window starts at the first token, the last one ends at the last.
    return static_cast<std::int64_t>(WideProduct(sequence) * WideProduct(window_starts() - 1) /
                                     WideProduct(total - 1));
  });
}

}  // namespace shardgrad
