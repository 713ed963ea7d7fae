// bfloat16 and half over all bit patterns, against the definition of rounding.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

/// The value that a bit pattern of a format stands for.
double value_of(unsigned bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double mantissa = bits & ((1u << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

template <class T, int kExponentBits, int kMantissaBits>
struct Format {
  using Type = T;
  static double value(unsigned bits) { return value_of(bits, kExponentBits, kMantissaBits); }
};
using Formats = ::testing::Types<Format<__nv_bfloat16, 8, 7>, Format<__half, 5, 10>>;

template <class T>
T from_bits(unsigned bits) {
  T x;
  x.bits = static_cast<unsigned short>(bits);
  return x;
}

template <class F>
class Float16Formats : public ::testing::Test {};
TYPED_TEST_SUITE(Float16Formats, Formats);

TYPED_TEST(Float16Formats, WidensEveryPattern) {
  using T = typename TypeParam::Type;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const double want = TypeParam::value(bits);
    const float got = from_bits<T>(bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      ASSERT_EQ(T(got).bits, 0x7FFF) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(got), want) << bits;
      ASSERT_EQ(std::signbit(got), std::signbit(want)) << bits;
      ASSERT_EQ(T(got).bits, bits) << "is not itself, rounded";
    }
  }
}

/// Between each two neighbours: just below the middle, the middle (a tie), just above it.
TYPED_TEST(Float16Formats, RoundsToNearestAndTiesToEven) {
  using T = typename TypeParam::Type;
  for (unsigned bits = 0; std::isfinite(TypeParam::value(bits)); ++bits) {
    const unsigned next = bits + 1;
    double high = TypeParam::value(next);
    if (std::isinf(high)) high = 2 * TypeParam::value(bits) - TypeParam::value(bits - 1);
    const double middle = (TypeParam::value(bits) + high) / 2;
    const float tie = static_cast<float>(middle);
    ASSERT_EQ(static_cast<double>(tie), middle);
    const float below = std::nextafter(tie, 0.0f);
    const float above = std::nextafter(tie, std::numeric_limits<float>::infinity());
    for (const unsigned sign : {0u, 0x8000u}) {
      const float s = sign != 0 ? -1.0f : 1.0f;
      ASSERT_EQ(T(s * tie).bits, sign | (bits % 2 == 0 ? bits : next)) << bits;
      ASSERT_EQ(T(s * below).bits, sign | bits) << bits;
      ASSERT_EQ(T(s * above).bits, sign | next) << bits;
    }
  }
}

TYPED_TEST(Float16Formats, ArithmeticIsThatOfFloatRoundedOnce) {
  using T = typename TypeParam::Type;
  for (unsigned i = 0; i < 0x10000; i += 37) {
    const T a = from_bits<T>(i), b = from_bits<T>(i * 2654435761u >> 16 & 0xFFFF);
    const float x = a, y = b;
    ASSERT_EQ((a + b).bits, T(x + y).bits);
    ASSERT_EQ((a - b).bits, T(x - y).bits);
    ASSERT_EQ((a * b).bits, T(x * y).bits);
    ASSERT_EQ((a / b).bits, T(x / y).bits);
    ASSERT_EQ(a < b, x < y);
    ASSERT_EQ(a == b, x == y);
  }
}

TEST(Float16, PairsPackTheLowerFirst) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(1.0f, -2.0f);
  uint32_t bits;
  std::memcpy(&bits, static_cast<const void*>(&pair), sizeof bits);
  EXPECT_EQ(bits, 0xC0003F80u);
  EXPECT_EQ(__bfloat1622float2(pair).x, 1.0f);
  EXPECT_EQ(__bfloat1622float2(pair).y, -2.0f);
  EXPECT_EQ(__half22float2(__floats2half2_rn(0.5f, 3.0f)).y, 3.0f);
}

}  // namespace
}  // namespace simt
