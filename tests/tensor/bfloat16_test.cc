// BFloat16 over all of its bit patterns, against the definition of rounding; and what the kernels
// make of it: what they make of the same numbers in float32, rounded once.
#include "tensor/bfloat16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tensor/kernels/attention.h"
#include "tensor/kernels/dropout.h"
#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/gelu.h"
#include "tensor/kernels/layer_norm.h"
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
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    expect_rounded_once("gelu_forward",
                        [&](T a, T, T, Tensor& out) { kernels::gelu_forward(a, out, kind); });
    expect_rounded_once("gelu_backward",
                        [&](T a, T b, T, Tensor& out) { kernels::gelu_backward(a, b, out, kind); });
  }
  expect_rounded_once("layer_norm_forward", [](T a, T, T c, Tensor& out) {
    Tensor mean = Tensor::empty({a.size(0)}), rstd = Tensor::empty({a.size(0)});
    kernels::layer_norm_forward(a, c, c, 1e-5, out, mean, rstd);
  });
  expect_rounded_once("layer_norm_backward", [](T a, T b, T c, Tensor& out) {
    const Tensor statistics = Tensor::full({a.size(0)}, 0.7);
    Tensor dgamma = Tensor::empty({a.size(1)}), dbeta = Tensor::empty({a.size(1)});
    kernels::layer_norm_backward(a, c, statistics, statistics, b, a, out, dgamma, false, dbeta,
                                 false);
  });
  expect_rounded_once("dropout_add",
                      [&](T a, T b, T, Tensor& out) { kernels::dropout_add(a, b, mask, out); });
}

// Attention computes in float32: its outputs are those from the widened inputs, rounded.
TEST(BFloat16, AttentionComputesInFloat32AndRoundsOnce) {
  const AttentionShape shape{2, 70, 3, 24, 0, 3, 0};
  const DropoutMask dropout{0.2, {17, 23}, 0};
  const Pair qkv({140, 216}, 1), dout({140, 72}, 2);
  const Tensor no_mask;
  Tensor out = Tensor::empty({140, 72}, DType::BFloat16), wide_out = Tensor::empty({140, 72});
  Tensor sums = Tensor::empty({2, 3, 70}), wide_sums = Tensor::empty_like(sums);
  kernels::attention_forward(qkv.narrow, no_mask, shape, dropout, out, sums);
  kernels::attention_forward(qkv.wide, no_mask, shape, dropout, wide_out, wide_sums);
  EXPECT_TRUE(bitwise_equal(out, wide_out.to(DType::BFloat16)));
  EXPECT_TRUE(bitwise_equal(sums, wide_sums));
  Tensor dqkv = Tensor::empty_like(qkv.narrow), wide_dqkv = Tensor::empty_like(qkv.wide);
  kernels::attention_backward(qkv.narrow, no_mask, out, sums, dout.narrow, shape, dropout, dqkv);
  kernels::attention_backward(qkv.wide, no_mask, out.to(DType::Float32), sums, dout.wide, shape,
                              dropout, wide_dqkv);
  EXPECT_TRUE(bitwise_equal(dqkv, wide_dqkv.to(DType::BFloat16)));
}

}  // namespace
}  // namespace shardgrad
