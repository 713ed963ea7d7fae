#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/gelu.h"
#include "tensor/kernels/gelu_math.h"

namespace shardgrad::cpu {

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

void gelu_backward_and_value(const Tensor& x, const Tensor& dy, Tensor& y, Tensor& dx,
                             GeluKind kind) {
  dispatch_floating(x.dtype(), "gelu_backward_and_value", [&](auto type) {
    using T = decltype(type);
    const T* const in = x.data<T>();
    const T* const gradient = dy.data<T>();
    T* const value = y.data<T>();
    T* const out = dx.data<T>();
    dispatch_kind(kind, [&](auto gelu) {
      using Gelu = decltype(gelu);
      stream_elements<T>(
          x.numel(),
          [=](std::int64_t i) {
            // What the two have in common, the exponential above all, is computed once: by the
            // compiler, so that each keeps its bits.
            const auto argument = widen(in[i]);
            const auto slope = Gelu::derivative(argument);
            store(out[i], widen(gradient[i]) * slope);
            store(value[i], Gelu::value(argument));
          },
          [=](std::int64_t i) {
            __builtin_prefetch(in + i, 1);
            __builtin_prefetch(gradient + i, 1);
          });
    });
  });
}

}  // namespace shardgrad::cpu
