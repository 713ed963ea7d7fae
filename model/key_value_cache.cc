#include "model/key_value_cache.h"

namespace shardgrad {
namespace {

Tensor allocated(const Shape& shape, DType dtype, Device device) {
  bool positive = shape.rank() == 4;
  for (std::int64_t extent : shape) positive = positive && extent > 0;
  require(positive, "KeyValueCache",
          "shape {}; expected [layers, sequences, tokens, features], all of them positive",
          shape.to_string());
  return Tensor::empty(shape, dtype, device);
}

}  // namespace

void CachedLayer::append(const Tensor& rows) {
  const std::int64_t batch = keys_values.size(0), capacity = keys_values.size(1);
  const std::int64_t count = rows.size(0) / batch, width = keys_values.size(2);
  for (std::int64_t sequence = 0; sequence < batch; ++sequence) {
    keys_values.slice(0, sequence, 1)
        .reshape({capacity, width})
        .slice(0, length, count)
        .copy_from(rows.slice(0, sequence * count, count));
  }
}

KeyValueCache::KeyValueCache(const Shape& shape, DType dtype, Device device)
    : memory_(allocated(shape, dtype, device)) {}

void KeyValueCache::set_length(std::int64_t length) {
  require(length >= 0 && length <= capacity(), "KeyValueCache",
          "length {} is outside [0, {}], what there is room for", length, capacity());
  length_ = length;
}

CachedLayer KeyValueCache::layer(std::int64_t index) const {
  return {memory_.slice(0, index, 1).reshape({batch(), capacity(), memory_.size(3)}), length_};
}

}  // namespace shardgrad
