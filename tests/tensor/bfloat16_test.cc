// BFloat16 over all of its bit patterns, against the definition of rounding; and what the kernels
// make of it: what they make of the same numbers in float32, rounded once.
#include "tensor/bfloat16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tensor/kernels/dropout.h"
#include "tensor/kernels/elementwise.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::random_tensor;

BFloat16 from_bits(int bits) {
  BFloat16 number;
  number.bits = static_cast<std::uint16_t>(bits);
  return number;
}

// The number by the definition of the format: sign, 8 bits of exponent, 7 of the fraction.
double by_definition(int bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = bits >> 7 & 0xff, fraction = bits & 0x7f;
  if (exponent == 255) return fraction ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, -133);
  return sign * std::ldexp(128 + fraction, exponent - 134);
}

TEST(BFloat16, EveryPatternReadsAsItsNumberAndComesBack) {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const float value = static_cast<float>(from_bits(bits));
    const double expected = by_definition(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(static_cast<float>(BFloat16(value)))) << bits;
      continue;
    }
    ASSERT_EQ(value, expected) << bits;
    ASSERT_EQ(std::signbit(value), std::signbit(expected)) << bits;
    ASSERT_EQ(static_cast<double>(from_bits(bits)), expected) << bits;
    ASSERT_EQ(BFloat16(value).bits, bits);
    ASSERT_EQ(BFloat16(expected).bits, bits);
  }
}

TEST(BFloat16, RoundsToTheNearestAndTiesToEven) {
  for (int bits = 0; bits < 0x7f7f; ++bits) {  // each finite number and the one above it
    const float low = static_cast<float>(from_bits(bits));
    const float high = static_cast<float>(from_bits(bits + 1));
    const float middle = static_cast<float>(0.5 * (by_definition(bits) + by_definition(bits + 1)));
    const int even = bits % 2 == 0 ? bits : bits + 1;
    for (int sign : {0, 0x8000}) {
      const float s = sign ? -1.0f : 1.0f;
      ASSERT_EQ(BFloat16(s * middle).bits, even | sign);
      ASSERT_EQ(BFloat16(s * std::nextafter(middle, low)).bits, bits | sign);
      ASSERT_EQ(BFloat16(s * std::nextafter(middle, high)).bits, (bits + 1) | sign);
    }
  }
}

TEST(BFloat16, OverflowsToInfinityAndKeepsNan) {
  const float largest = static_cast<float>(from_bits(0x7f7f));
  const float tie = static_cast<float>(std::ldexp(511.0, 119));  // half way to 2^128
  EXPECT_EQ(BFloat16(std::nextafter(tie, 0.0f)).bits, 0x7f7f);
  EXPECT_EQ(BFloat16(tie).bits, 0x7f80);
  EXPECT_EQ(BFloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(BFloat16(-1e300).bits, 0xff80);
  EXPECT_GT(tie, largest);
  // A NaN whose fraction is all in the half that is cut off, and one that rounding would carry.
  for (std::uint32_t word : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu}) {
    float nan;
    std::memcpy(&nan, &word, sizeof(nan));
    EXPECT_EQ(BFloat16(nan).bits, 0x7fff) << word;
  }
}

// What the loop over many elements gives is what one at a time gives.
TEST(BFloat16, TensorsConvertAsSingleNumbersDo) {
  const Tensor wide = random_tensor({10007}, DType::Float32, 1, 100.0);
  const Tensor narrow = wide.to(DType::BFloat16);
  const Tensor back = narrow.to(DType::Float32);
  for (std::int64_t i = 0; i < wide.numel(); ++i) {
    ASSERT_EQ(narrow.data<BFloat16>()[i].bits, BFloat16(wide.data<float>()[i]).bits);
    ASSERT_EQ(back.data<float>()[i], static_cast<float>(narrow.data<BFloat16>()[i]));
  }
  const Tensor whole = Tensor::from(std::vector<std::int32_t>{257, 259, -16777217}, {3});
  EXPECT_EQ(whole.to(DType::BFloat16).to(DType::Float64).to_vector<double>(),
            (std::vector<double>{256.0, 260.0, -16777216.0}));
}

// Random elements in bfloat16, and the same numbers in float32.
struct Pair {
  Pair(const Shape& shape, std::uint64_t seed)
      : narrow(random_tensor(shape, DType::BFloat16, seed)), wide(narrow.to(DType::Float32)) {}
  Tensor narrow, wide;
};

// Calls kernel(inputs, output) in both dtypes: the bfloat16 output must have the bits of the
// float32 one, rounded.
template <class Kernel>
void expect_rounded_once(const char* name, const Kernel& kernel) {
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 37}, Shape{64, 1031}}) {
    const Pair a(shape, 1), b(shape, 2), bias({shape[1]}, 3);
    Tensor out = Tensor::empty(shape, DType::BFloat16), expected = Tensor::empty(shape);
    kernel(a.narrow, b.narrow, bias.narrow, out);
    kernel(a.wide, b.wide, bias.wide, expected);
    EXPECT_TRUE(bitwise_equal(out, expected.to(DType::BFloat16)))
        << name << " of " << shape.to_string();
  }
}

TEST(BFloat16, KernelsComputeInFloat32AndRoundOnce) {
  const DropoutMask mask{0.3, {11, 22}, 5};
  using T = const Tensor&;
  expect_rounded_once("add", [](T a, T b, T, Tensor& out) { kernels::add(a, b, out); });
  expect_rounded_once("multiply", [](T a, T b, T, Tensor& out) { kernels::multiply(a, b, out); });
  expect_rounded_once("scale", [](T a, T, T, Tensor& out) { kernels::scale(a, 0.3, out); });
  expect_rounded_once("add_bias", [](T a, T, T c, Tensor& out) { kernels::add_bias(a, c, out); });
  expect_rounded_once("dropout", [&](T a, T, T, Tensor& out) { kernels::dropout(a, mask, out); });
  expect_rounded_once("dropout_add",
                      [&](T a, T b, T, Tensor& out) { kernels::dropout_add(a, b, mask, out); });
}

}  // namespace
}  // namespace shardgrad
