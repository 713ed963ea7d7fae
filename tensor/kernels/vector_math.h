// Elementary functions that the compiler can vectorise: no branch, no table, no library call, so a
// `#pragma omp simd` loop over them runs at the full vector width. Every multiply-add is written
// out, so an element has the same bits in a vector body as in a scalar tail: a shard computes what
// the whole tensor computes.
//
// The polynomials are minimax fits made for this file (weighted least squares on Chebyshev nodes,
// reweighted until the error is level). The double overloads are the standard library's.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace shardgrad::cpu {

/// a * b + c, rounded once where the processor has the instruction. Without it the compiler has
/// nothing to contract, so there too the bits do not depend on how a loop is compiled.
[[gnu::always_inline]] inline float multiply_add(float a, float b, float c) {
#ifdef FP_FAST_FMAF
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}
[[gnu::always_inline]] inline double multiply_add(double a, double b, double c) {
#ifdef FP_FAST_FMA
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

namespace detail {

[[gnu::always_inline]] inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

[[gnu::always_inline]] inline float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

/// 2^exponent, for exponent in [-126, 127].
[[gnu::always_inline]] inline float power_of_two(std::int32_t exponent) {
  return float_of(static_cast<std::uint32_t>(exponent + 127) << 23);
}

/// `x` limited to [low, high]; a NaN stays a NaN.
[[gnu::always_inline]] inline float limit(float x, float low, float high) {
  const float not_above = x > high ? high : x;
  return not_above < low ? low : not_above;
}

/// x = exponent * ln 2 + remainder with |remainder| <= ln 2 / 2 (and a NaN remainder for a NaN),
/// and expm1(remainder).
struct ReducedExponential {
  std::int32_t exponent;
  float expm1_of_remainder;
};

/// The argument reduction that exp and tanh share, for |x| < 2^21.
[[gnu::always_inline]] inline ReducedExponential reduce_exponential(float x) {
  constexpr float kLog2E = 1.44269504f;
  // Ln 2 in two parts: the first has 9 trailing zero bits, so its product with the exponent is
  // exact.
  constexpr float kLn2High = 0.693145751953125f;
  constexpr float kLn2Low = 1.42860677e-6f;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum: no conversion of a
  // float to an integer, which would be undefined for a NaN.
  constexpr float kRounder = 12582912.0f;
  const float shifted = multiply_add(x, kLog2E, kRounder);
  const float nearest = shifted - kRounder;
  const std::uint32_t exponent = bits_of(shifted) - bits_of(kRounder);
  float remainder = multiply_add(nearest, -kLn2High, x);
  remainder = multiply_add(nearest, -kLn2Low, remainder);
  float quotient = 1.395060228e-3f;
  quotient = multiply_add(quotient, remainder, 8.368953513e-3f);
  quotient = multiply_add(quotient, remainder, 4.166620414e-2f);
  quotient = multiply_add(quotient, remainder, 1.666651831e-1f);
  quotient = multiply_add(quotient, remainder, 0.5f);
  return {static_cast<std::int32_t>(exponent),
          multiply_add(quotient, remainder * remainder, remainder)};
}

}  // namespace detail

/// e^x within 1.5 units in the last place; 0 below -104, infinity above 88.73.
[[gnu::always_inline]] inline float exp(float x) {
  const auto reduced = detail::reduce_exponential(detail::limit(x, -104.0f, 89.0f));
  // 2^exponent in two factors, so that the largest and the subnormal results come out right.
  const std::int32_t half = reduced.exponent >> 1;
  return (1.0f + reduced.expm1_of_remainder) * detail::power_of_two(half) *
         detail::power_of_two(reduced.exponent - half);
}

/// e^x within 1.5 units in the last place for x in [-87, 88]; 0 below, so that no result is
/// subnormal, which would keep the processor busy for a hundred cycles; no larger than e^88 above.
/// For probabilities: their exponents are at most 0, and -infinity where there is nothing to see.
[[gnu::always_inline]] inline float exp_or_zero(float x) {
  constexpr float kLowest = -87.0f;
  const auto reduced = detail::reduce_exponential(detail::limit(x, kLowest, 88.0f));
  const float power = detail::power_of_two(reduced.exponent);
  return x < kLowest ? 0.0f : multiply_add(power, reduced.expm1_of_remainder, power);
}

/// 2^(a b) within 2.5 units in the last place, for -250 < a b < 127; what is below 2^-126 becomes
/// some number from 0 to there, and 0 from 2^-128 on. A NaN gives any number. Half the work of
/// exp(), and the product is not rounded on the way, except where multiply_add() rounds twice:
/// there the error is |a b| / 2 units more.
[[gnu::always_inline]] inline float exp2_of_product(float a, float b) {
  constexpr float kRounder = 12582912.0f;  // see reduce_exponential()
  const float shifted = multiply_add(a, b, kRounder);
  const float remainder = multiply_add(a, b, -(shifted - kRounder));
  float power = 1.326472691e-3f;
  power = multiply_add(power, remainder, 9.671512660e-3f);
  power = multiply_add(power, remainder, 5.550733744e-2f);
  power = multiply_add(power, remainder, 2.402224208e-1f);
  power = multiply_add(power, remainder, 6.931469776e-1f);
  power = multiply_add(power, remainder, 1.0f);
  // The integer in the low bits of `shifted`, added to the exponent. Below it the bits are those of
  // a negative integer.
  const auto bits =
      static_cast<std::int32_t>(detail::bits_of(power) + (detail::bits_of(shifted) << 23));
  return detail::float_of(static_cast<std::uint32_t>(bits > 0 ? bits : 0));
}

/// The hyperbolic tangent within 3 units in the last place.
[[gnu::always_inline]] inline float tanh(float x) {
  // tanh |x| = expm1(2|x|) / (expm1(2|x|) + 2), which is 1 in float from |x| = 9.02.
  const float twice = detail::limit(2.0f * std::fabs(x), 0.0f, 20.0f);
  const auto reduced = detail::reduce_exponential(twice);
  const float power = detail::power_of_two(reduced.exponent);
  const float expm1 = multiply_add(power, reduced.expm1_of_remainder, power - 1.0f);
  return std::copysign(expm1 / (expm1 + 2.0f), x);
}

/// The error function within 3 units in the last place.
[[gnu::always_inline]] inline float erf(float x) {
  const float magnitude = std::fabs(x);
  // Below 1: x times a polynomial in x^2.
  const float square = x * x;
  float small = 7.853891844e-5f;
  small = multiply_add(small, square, -8.010203625e-4f);
  small = multiply_add(small, square, 5.188328949e-3f);
  small = multiply_add(small, square, -2.685381270e-2f);
  small = multiply_add(small, square, 1.128358517e-1f);
  small = multiply_add(small, square, -3.761262583e-1f);
  small = multiply_add(small, square, 1.128379166f);
  small *= magnitude;
  // From 1 on: 1 - exp(-p(x)), p = -log(erfc), which is 1 in float from 4.
  const float centred = detail::limit(magnitude, 0.0f, 4.0f) - 2.5f;
  float large = -1.863792097e-4f;
  large = multiply_add(large, centred, 1.519703303e-4f);
  large = multiply_add(large, centred, -2.465384644e-3f);
  large = multiply_add(large, centred, 1.071126081e-2f);
  large = multiply_add(large, centred, 9.438831439e-1f);
  large = multiply_add(large, centred, 5.352693956f);
  large = multiply_add(large, centred, 7.806817892f);
  large = 1.0f - exp2_of_product(large, -1.44269504f);
  return std::copysign(magnitude >= 1.0f ? large : small, x);  // a NaN is the small one's
}

inline double exp(double x) { return std::exp(x); }
inline double exp_or_zero(double x) { return std::exp(x); }
inline double exp2_of_product(double a, double b) { return std::exp2(a * b); }
inline double tanh(double x) { return std::tanh(x); }
inline double erf(double x) { return std::erf(x); }

}  // namespace shardgrad::cpu
