// The keys and values of the tokens that a model has seen.
#pragma once

#include "tensor/tensor.h"

namespace shardgrad {

/// One layer's part of a KeyValueCache.
struct CachedLayer {
  Tensor keys_values;       ///< [B, C, 2*H*Dh]: a row holds k of this rank's heads, then v
  std::int64_t length = 0;  ///< tokens of a sequence that are in it

  /// Stores the keys and values [B*Q, 2*H*Dh] of the next Q tokens of each sequence after the
  /// `length` there are, which does not change: all layers of a cache have one.
  void append(const Tensor& rows);
};

/// What attention needs of earlier tokens, so that each new token is computed alone. Memory for all
/// of it is allocated once, when the cache is made; see GPTModel::make_cache(). Each rank keeps its
/// own heads.
class KeyValueCache {
 public:
  /// `shape` [layers, B, C, 2*H*Dh]. @throws Error unless all extents are positive.
  KeyValueCache(const Shape& shape, DType dtype, Device device);

  std::int64_t batch() const { return memory_.size(1); }     ///< B, sequences
  std::int64_t capacity() const { return memory_.size(2); }  ///< C, tokens of a sequence
  std::int64_t length() const { return length_; }            ///< tokens of a sequence so far
  std::int64_t bytes() const { return memory_.numel() * size_of(memory_.dtype()); }

  /// Forgets all but the first `length` tokens of each sequence; or counts tokens in that all
  /// layers have appended. @throws Error unless 0 <= length <= capacity().
  void set_length(std::int64_t length);

  /// The part of one layer: a view.
  CachedLayer layer(std::int64_t index) const;

 private:
  Tensor memory_;
  std::int64_t length_ = 0;
};

}  // namespace shardgrad
