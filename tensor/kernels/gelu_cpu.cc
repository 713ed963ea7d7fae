#include <cmath>

#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/gelu.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {
namespace {

// sqrt(2 / pi), 1 / sqrt(2) and 1 / sqrt(2 pi).
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
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
    const T density = T(kInverseSqrtTwoPi) * exp(T(-0.5) * x * x);
    return multiply_add(x, density, distribution(x));
  }
};

// 0.5 x (1 + tanh(u)) = x sigmoid(2u) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
struct TanhGelu {
  template <class T>
  [[gnu::always_inline]] static T exp_of_minus_two_u(T x) {
    const T minus_two_u_over_x =
        multiply_add(T(-2.0 * kSqrtTwoOverPi * kCubic), x * x, T(-2.0 * kSqrtTwoOverPi));
    return exp(minus_two_u_over_x * x);
  }
  template <class T>
  [[gnu::always_inline]] static T value(T x) {
    return x / (T(1) + exp_of_minus_two_u(x));
  }
  template <class T>
  [[gnu::always_inline]] static T derivative(T x) {
    // Beyond 9.5 the derivative is within 1e-30 of 0 or 1; further out the exponential overflows.
    const T limited = x > T(9.5) ? T(9.5) : (x < T(-9.5) ? T(-9.5) : x);
    const T exponential = exp_of_minus_two_u(limited);
    const T sigmoid = T(1) / (T(1) + exponential);
    const T complement = exponential * sigmoid;  // 1 - sigmoid, without its cancellation
    const T twice_du =
        multiply_add(T(6.0 * kSqrtTwoOverPi * kCubic), limited * limited, T(2.0 * kSqrtTwoOverPi));
    return multiply_add(limited * twice_du, sigmoid * complement, sigmoid);
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
      parallel_elements(x.numel(),
                        [=](std::int64_t i) { store(out[i], Gelu::value(widen(in[i]))); });
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
      parallel_elements(x.numel(), [=](std::int64_t i) {
        store(out[i], widen(gradient[i]) * Gelu::derivative(widen(in[i])));
      });
    });
  });
}

}  // namespace shardgrad::cpu
