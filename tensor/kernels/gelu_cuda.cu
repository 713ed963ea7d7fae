#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/gelu.h"

namespace shardgrad::cuda {
namespace {

// sqrt(2 / pi), 1 / sqrt(2) and 1 / sqrt(2 pi).
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
constexpr double kCubic = 0.044715;

// x Phi(x), Phi being the normal distribution function.
struct ExactGelu {
  template <class A>
  __device__ static A distribution(A x) {
    return A(0.5) + A(0.5) * erf(x * A(kSqrtHalf));
  }
  template <class A>
  __device__ static A value(A x) {
    return x * distribution(x);
  }
  template <class A>
  __device__ static A derivative(A x) {
    return distribution(x) + x * (A(kInverseSqrtTwoPi) * exp(A(-0.5) * x * x));
  }
};

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
struct TanhGelu {
  template <class A>
  __device__ static A exp_of_minus_two_u(A x) {
    return exp(A(-2.0 * kSqrtTwoOverPi) * x * (A(1) + A(kCubic) * x * x));
  }
  template <class A>
  __device__ static A value(A x) {
    return x / (A(1) + exp_of_minus_two_u(x));
  }
  template <class A>
  __device__ static A derivative(A x) {
    // Beyond 9.5 the derivative is within 1e-30 of 0 or 1; further out the exponential overflows.
    const A limited = x > A(9.5) ? A(9.5) : (x < A(-9.5) ? A(-9.5) : x);
    const A exponential = exp_of_minus_two_u(limited);
    const A sigmoid = A(1) / (A(1) + exponential);
    const A complement = exponential * sigmoid;  // 1 - sigmoid, without its cancellation
    const A twice_du = A(2.0 * kSqrtTwoOverPi) * (A(1) + A(3.0 * kCubic) * limited * limited);
    return sigmoid + limited * twice_du * sigmoid * complement;
  }
};

template <class Gelu>
struct Forward {
  template <class A>
  __device__ A operator()(std::int64_t, A x) const {
    return Gelu::value(x);
  }
};
template <class Gelu>
struct Backward {
  template <class A>
  __device__ A operator()(std::int64_t, A x, A dy) const {
    return dy * Gelu::derivative(x);
  }
};

// y and dx of one pass; y may be x, and dx may be dy. Pieces are packs, or elements of tensors
// whose memory does not start at a multiple of 16 bytes.
template <class Gelu, class T>
__global__ void backward_and_value_kernel(std::int64_t count, bool packed, const T* x, const T* dy,
                                          T* y, T* dx) {
  constexpr std::int64_t kSize = Pack<T>::kSize;
  const std::int64_t packs = packed ? count / kSize : 0;
  for (std::int64_t p = global_thread(); p < packs; p += all_threads()) {
    const Pack<T> in = load_pack(x + p * kSize);
    const Pack<T> gradient = load_pack(dy + p * kSize);
    Pack<T> value, out;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const auto argument = widen(in.value[i]);
      value.value[i] = narrow<T>(Gelu::value(argument));
      out.value[i] = narrow<T>(widen(gradient.value[i]) * Gelu::derivative(argument));
    }
    store_pack(y + p * kSize, value);
    store_pack(dx + p * kSize, out);
  }
  for (std::int64_t i = packs * kSize + global_thread(); i < count; i += all_threads()) {
    const auto argument = widen(x[i]);
    const auto gradient = widen(dy[i]);
    y[i] = narrow<T>(Gelu::value(argument));
    dx[i] = narrow<T>(gradient * Gelu::derivative(argument));
  }
}

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
  dispatch_element(x.dtype(), "gelu_forward", [&](auto type) {
    using T = decltype(type);
    dispatch_kind(kind, [&](auto gelu) {
      map_elements("gelu_forward", x.numel(), Forward<decltype(gelu)>{}, device_data<T>(y),
                   device_data<T>(x));
    });
  });
}

void gelu_backward(const Tensor& x, const Tensor& dy, Tensor& dx, GeluKind kind) {
  dispatch_element(x.dtype(), "gelu_backward", [&](auto type) {
    using T = decltype(type);
    dispatch_kind(kind, [&](auto gelu) {
      map_elements("gelu_backward", x.numel(), Backward<decltype(gelu)>{}, device_data<T>(dx),
                   device_data<T>(x), device_data<T>(dy));
    });
  });
}

void gelu_backward_and_value(const Tensor& x, const Tensor& dy, Tensor& y, Tensor& dx,
                             GeluKind kind) {
  constexpr const char* kName = "gelu_backward_and_value";
  const std::int64_t count = x.numel();
  if (count == 0) return;
  dispatch_element(x.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    const T* const in = device_data<T>(x);
    const T* const gradient = device_data<T>(dy);
    T* const value = device_data<T>(y);
    T* const out = device_data<T>(dx);
    const bool packed = fits_packs<T>(0, in, gradient, value, out);
    const std::int64_t pieces = packed ? count / Pack<T>::kSize + 1 : count;
    dispatch_kind(kind, [&](auto gelu) {
      launch(kName, element_blocks(pieces), kElementThreads, 0,
             backward_and_value_kernel<decltype(gelu), T>, count, packed, in, gradient, value, out);
    });
  });
}

}  // namespace shardgrad::cuda
