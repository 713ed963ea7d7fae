// BFloat16: the upper half of a float.
#pragma once

#include <cstdint>
#include <cstring>

namespace shardgrad {

/// A 16-bit floating number with float's range and 8 significant bits. It only stores: arithmetic
/// is done in float, so reading one is a shift, and writing one rounds to the nearest, ties to
/// even. Has the bits of CUDA's __nv_bfloat16.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  // Inlined wherever they stand, so that loops over elements are vectorised.
  [[gnu::always_inline]] explicit BFloat16(float value) {
    std::uint32_t word;
    std::memcpy(&word, &value, sizeof(word));
    const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    // Rounding could carry a NaN into an infinity.
    bits = static_cast<std::uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
  }
  [[gnu::always_inline]] explicit BFloat16(double value) : BFloat16(static_cast<float>(value)) {}

  [[gnu::always_inline]] explicit operator float() const {
    const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &word, sizeof(value));
    return value;
  }
  [[gnu::always_inline]] explicit operator double() const { return static_cast<float>(*this); }
};

}  // namespace shardgrad
