// The two 16-bit floating-point types, which differ only in how they round and widen.
#pragma once

#include "simt/math.h"
#include "simt/types.h"

namespace simt {

struct BFloat16Format {
  /// Rounds to nearest, ties to even; any NaN becomes 0x7FFF, as on a GPU.
  static unsigned short round(float value) {
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
    return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  static float widen(unsigned short bits) {
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
  }
};

struct HalfFormat {
  /// Rounds to nearest, ties to even, with subnormals; any NaN becomes 0x7FFF, as on a GPU.
  static unsigned short round(float value) {
    const unsigned sign = __float_as_uint(value) >> 16 & 0x8000;
    unsigned bits = __float_as_uint(value) & 0x7FFFFFFF;
    if (bits > 0x7F800000) return 0x7FFF;
    if (bits >= 0x477FF000) return static_cast<unsigned short>(sign | 0x7C00);
    if (bits < 0x38800000) {
      // Subnormal: adding 0.5 moves the bits that count to the end of the mantissa, rounded.
      const float moved = __uint_as_float(bits) + 0.5f;
      return static_cast<unsigned short>(sign | (__float_as_uint(moved) - 0x3F000000));
    }
    bits += 0xC8000FFF + (bits >> 13 & 1);
    return static_cast<unsigned short>(sign | bits >> 13);
  }
  static float widen(unsigned short bits) {
    const unsigned sign = static_cast<unsigned>(bits & 0x8000) << 16;
    const unsigned exponent = bits >> 10 & 31;
    const unsigned mantissa = bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7F800000 | mantissa << 13);
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
      return sign != 0 ? -magnitude : magnitude;
    }
    return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
  }
};

/// Arithmetic is done in float and rounded once, which gives what a GPU's own instructions give.
template <class Format>
struct Float16 {
  unsigned short bits;

  Float16() = default;
  Float16(float value) : bits(Format::round(value)) {}
  Float16(double value) : bits(Format::round(static_cast<float>(value))) {}
  Float16(int value) : bits(Format::round(static_cast<float>(value))) {}
  operator float() const { return Format::widen(bits); }
};

template <class Format>
struct alignas(4) Float16x2 {
  Float16<Format> x, y;
};

#define SIMT_OPERATOR(OPERATOR)                                                   \
  template <class Format>                                                         \
  Float16<Format> operator OPERATOR(Float16<Format> a, Float16<Format> b) {       \
    return Float16<Format>(static_cast<float>(a) OPERATOR static_cast<float>(b)); \
  }                                                                               \
  template <class Format>                                                         \
  Float16<Format>& operator OPERATOR##=(Float16<Format>& a, Float16<Format> b) {  \
    return a = a OPERATOR b;                                                      \
  }
SIMT_OPERATOR(+)
SIMT_OPERATOR(-)
SIMT_OPERATOR(*)
SIMT_OPERATOR(/)
#undef SIMT_OPERATOR
#define SIMT_COMPARISON(OPERATOR)                                \
  template <class Format>                                        \
  bool operator OPERATOR(Float16<Format> a, Float16<Format> b) { \
    return static_cast<float>(a) OPERATOR static_cast<float>(b); \
  }
SIMT_COMPARISON(<)
SIMT_COMPARISON(>)
SIMT_COMPARISON(<=)
SIMT_COMPARISON(>=)
SIMT_COMPARISON(==)
SIMT_COMPARISON(!=)
#undef SIMT_COMPARISON

}  // namespace simt

template <class Format>
simt::Float16<Format> __hadd(simt::Float16<Format> a, simt::Float16<Format> b) {
  return a + b;
}
template <class Format>
simt::Float16<Format> __hsub(simt::Float16<Format> a, simt::Float16<Format> b) {
  return a - b;
}
template <class Format>
simt::Float16<Format> __hmul(simt::Float16<Format> a, simt::Float16<Format> b) {
  return a * b;
}
template <class Format>
bool __hisnan(simt::Float16<Format> a) {
  return static_cast<float>(a) != static_cast<float>(a);
}
template <class Format>
simt::Float16x2<Format> __hadd2(simt::Float16x2<Format> a, simt::Float16x2<Format> b) {
  return {a.x + b.x, a.y + b.y};
}
template <class Format>
simt::Float16x2<Format> __hmul2(simt::Float16x2<Format> a, simt::Float16x2<Format> b) {
  return {a.x * b.x, a.y * b.y};
}
