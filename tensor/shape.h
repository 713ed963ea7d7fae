// Shape: the extents (or strides) of a tensor, held inline so that making a tensor allocates
// nothing for them.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "tensor/error.h"

namespace shardgrad {

/// Up to kMaxRank signed 64-bit extents, e.g. `Shape{batch, tokens, d_model}`.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) {
    require(extents.size() <= kMaxRank, "Shape", "rank {} is above the maximum of {}",
            extents.size(), kMaxRank);
    for (std::int64_t extent : extents) extents_[rank_++] = extent;
  }

  int rank() const { return rank_; }
  std::int64_t operator[](int dim) const { return extents_[dim]; }
  std::int64_t& operator[](int dim) { return extents_[dim]; }
  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }

  /// Appends one extent.
  void push_back(std::int64_t extent) {
    require(rank_ < kMaxRank, "Shape", "rank {} is above the maximum of {}", rank_ + 1, kMaxRank);
    extents_[rank_++] = extent;
  }

  /// Product of the extents; 1 for a scalar.
  std::int64_t numel() const {
    std::int64_t product = 1;
    for (std::int64_t extent : *this) product *= extent;
    return product;
  }

  /// `dim`, counted from the end when negative. @throws Error when it is out of range.
  int checked_dim(int dim, const char* where) const {
    const int wrapped = dim < 0 ? dim + rank_ : dim;
    require(wrapped >= 0 && wrapped < rank_, where, "dim {} is out of range for shape {}", dim,
            to_string());
    return wrapped;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int dim = 0; dim < a.rank_; ++dim) {
      if (a.extents_[dim] != b.extents_[dim]) return false;
    }
    return true;
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

  /// "[2, 16, 768]".
  std::string to_string() const {
    std::string text = "[";
    for (int dim = 0; dim < rank_; ++dim) {
      text += (dim ? ", " : "") + std::to_string(extents_[dim]);
    }
    return text + "]";
  }

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace shardgrad
