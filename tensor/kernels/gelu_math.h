// The Gaussian error linear unit of one number on the CPU, in a form that loops vectorise.
#pragma once

#include <cmath>
#include <type_traits>

#include "tensor/kernels/gelu.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {
namespace detail {

// sqrt(2 / pi), 1 / sqrt(2), 1 / sqrt(2 pi) and log2(e).
inline constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
inline constexpr double kSqrtHalf = 0.70710678118654752440;
inline constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
inline constexpr double kLog2E = 1.44269504088896340736;
inline constexpr double kCubic = 0.044715;

}  // namespace detail

/// x Phi(x), Phi being the normal distribution function.
struct ExactGelu {
  template <class T>
  [[gnu::always_inline]] static T distribution(T x) {
    return multiply_add(T(0.5), erf(x * T(detail::kSqrtHalf)), T(0.5));
  }
  template <class T>
  [[gnu::always_inline]] static T value(T x) {
    return x * distribution(x);
  }
  template <class T>
  [[gnu::always_inline]] static T derivative(T x) {
    // From 13.2 on the density is below the normal numbers of float32.
    const T limited = x > T(13.5) ? T(13.5) : (x < T(-13.5) ? T(-13.5) : x);
    const T density =
        T(detail::kInverseSqrtTwoPi) * exp2_of_product(limited, T(-0.5 * detail::kLog2E) * limited);
    return multiply_add(limited, density, distribution(x));
  }
};

/// 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). All is expressed by
/// a = |x| and the complement sigmoid(-2u(a)), one exponential and one division, which a loop that
/// wants value and derivative computes once.
struct TanhGelu {
  // |x|, limited to where the complement has become 0.
  template <class T>
  [[gnu::always_inline]] static T magnitude(T x) {
    constexpr T kFar = std::is_same_v<T, float> ? T(10.25) : T(30);
    const T a = std::fabs(x);
    return a > kFar ? kFar : a;
  }
  // With e = exp(-2u(a)), which cannot overflow: e / (1 + e), without cancellation.
  template <class T>
  [[gnu::always_inline]] static T complement(T a) {
    constexpr double kLinear = -2.0 * detail::kSqrtTwoOverPi * detail::kLog2E;
    const T e = exp2_of_product(a, multiply_add(T(kLinear * detail::kCubic), a * a, T(kLinear)));
    return e / (T(1) + e);
  }
  template <class T>
  [[gnu::always_inline]] static T value(T x) {
    const T a = magnitude(x);
    return multiply_add(-a, complement(a), x < T(0) ? T(0) : x);
  }
  template <class T>
  [[gnu::always_inline]] static T derivative(T x) {
    const T a = magnitude(x);
    const T c = complement(a);
    const T twice_du = multiply_add(T(6.0 * detail::kSqrtTwoOverPi * detail::kCubic), a * a,
                                    T(2.0 * detail::kSqrtTwoOverPi));
    const T at_minus_a = multiply_add(-a * twice_du * (T(1) - c), c, c);
    return x < T(0) ? at_minus_a : T(1) - at_minus_a;
  }
};

/// Calls body(gelu) with the class above that computes `kind`.
template <class Body>
void dispatch_kind(GeluKind kind, Body&& body) {
  if (kind == GeluKind::Exact) {
    body(ExactGelu{});
  } else {
    body(TanhGelu{});
  }
}

}  // namespace shardgrad::cpu
