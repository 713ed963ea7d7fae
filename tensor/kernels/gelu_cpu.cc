#include <cmath>
#include <type_traits>

#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/gelu.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {
namespace {

// sqrt(2 / pi), 1 / sqrt(2), 1 / sqrt(2 pi) and log2(e).
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
constexpr double kLog2E = 1.44269504088896340736;
constexpr double kCubic = 0.044715;

// x Phi(x), Phi being the normal distribution function.
struct ExactGelu {
  template <class T>
  [[gnu::always_inline]] static T distribution(T x) {
    return multiply_add(T(0.5), erf(x * T(kSqrtHalf)), T(0.5));
  }
  template <class T>
  [[gnu::always_inline]] static T value(T x) {
    return x * distribution(x);
  }
  template <class T>
  [[gnu::always_inline]] static T derivative(T x) {
    // From 13.2 on the density is below the normal numbers of float32.
    const T limited = x > T(13.5) ? T(13.5) : (x < T(-13.5) ? T(-13.5) : x);
    const T density = T(kInverseSqrtTwoPi) * exp2_of_product(limited, T(-0.5 * kLog2E) * limited);
    return multiply_add(limited, density, distribution(x));
  }
};

// 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). With a = |x| and
// e = exp(-2u(a)), sigmoid(-2u(a)) is e / (1 + e), without cancellation, and e cannot overflow.
struct TanhGelu {
  // |x|, limited to where e has become 0.
  template <class T>
  [[gnu::always_inline]] static T magnitude(T x) {
    constexpr T kFar = std::is_same_v<T, float> ? T(10.25) : T(30);
    const T a = std::fabs(x);
    return a > kFar ? kFar : a;
  }
  template <class T>
  [[gnu::always_inline]] static T exponential(T a) {
    constexpr double kLinear = -2.0 * kSqrtTwoOverPi * kLog2E;
    return exp2_of_product(a, multiply_add(T(kLinear * kCubic), a * a, T(kLinear)));
  }
  template <class T>
  [[gnu::always_inline]] static T value(T x) {
    const T a = magnitude(x);
    const T e = exponential(a);
    return (x < T(0) ? T(0) : x) - a * e / (T(1) + e);
  }
  template <class T>
  [[gnu::always_inline]] static T derivative(T x) {
    const T a = magnitude(x);
    const T e = exponential(a);
    const T sigmoid = T(1) / (T(1) + e);
    const T complement = e * sigmoid;
    const T twice_du =
        multiply_add(T(6.0 * kSqrtTwoOverPi * kCubic), a * a, T(2.0 * kSqrtTwoOverPi));
    const T at_minus_a = multiply_add(-a * twice_du * sigmoid, complement, complement);
    return x < T(0) ? at_minus_a : T(1) - at_minus_a;
  }
};

template <class Body>
void dispatch_kind(GeluKind kind, Body&& body) {
  if (kind == GeluKind::Exact) {
    body(ExactGelu{});
  } else {
    body(TanhGelu{});
  }
}

}  // namespace

void gelu_forward(const Tensor& x, Tensor& y, GeluKind kind) {
  dispatch_floating(x.dtype(), "gelu_forward", [&](auto type) {
    using T = decltype(type);
    const T* const in = x.data<T>();
    T* const out = y.data<T>();
    dispatch_kind(kind, [&](auto gelu) {
      using Gelu = decltype(gelu);
      stream_elements<T>(
          x.numel(), [=](std::int64_t i) { store(out[i], Gelu::value(widen(in[i]))); },
          [=](std::int64_t i) {
            __builtin_prefetch(in + i);
            __builtin_prefetch(out + i, 1);
          });
    });
  });
}

void gelu_backward(const Tensor& x, const Tensor& dy, Tensor& dx, GeluKind kind) {
  dispatch_floating(x.dtype(), "gelu_backward", [&](auto type) {
    using T = decltype(type);
    const T* const in = x.data<T>();
    const T* const gradient = dy.data<T>();
    T* const out = dx.data<T>();
    dispatch_kind(kind, [&](auto gelu) {
      using Gelu = decltype(gelu);
      stream_elements<T>(
          x.numel(),
          [=](std::int64_t i) {
            store(out[i], widen(gradient[i]) * Gelu::derivative(widen(in[i])));
          },
          [=](std::int64_t i) {
            __builtin_prefetch(in + i);
            __builtin_prefetch(gradient + i);
          });
    });
  });
}

}  // namespace shardgrad::cpu
