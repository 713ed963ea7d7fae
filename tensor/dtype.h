// Element types, and the step from a run-time DType to a compile-time C++ type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/bfloat16.h"
#include "tensor/error.h"

namespace shardgrad {

/// Element type of a Tensor. Float32 and BFloat16 are the training types, Float64 serves gradient
/// and parity checks, Int32 holds token ids and masks.
enum class DType { Float32, Float64, BFloat16, Int32 };

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  return dtype == DType::Float64 ? 8 : dtype == DType::BFloat16 ? 2 : 4;
}

constexpr bool is_floating(DType dtype) { return dtype != DType::Int32; }

/// What sums of `dtype` elements are kept in: statistics, the gradients of parameters, optimizer
/// state. Float32 for BFloat16, any other dtype itself.
constexpr DType accumulation_dtype(DType dtype) {
  return dtype == DType::BFloat16 ? DType::Float32 : dtype;
}

/// "float32", "float64", "bfloat16" or "int32".
constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return "float32";
    case DType::Float64:
      return "float64";
    case DType::BFloat16:
      return "bfloat16";
    case DType::Int32:
      return "int32";
  }
  return "unknown";
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::Float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::Float64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::BFloat16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::Int32;
};

/// accumulation_dtype() as a C++ type: float for BFloat16, any other type itself.
template <class T>
struct AccumulatorOf {
  using type = T;
};
template <>
struct AccumulatorOf<BFloat16> {
  using type = float;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

/// An element as arithmetic takes it.
template <class T>
[[gnu::always_inline]] inline Accumulator<T> widen(T value) {
  return static_cast<Accumulator<T>>(value);
}

/// The way back: element = value, rounded. A function because GCC keeps an array for a temporary
/// BFloat16 that stands in the body of an `omp simd` loop, and then leaves the loop scalar.
template <class T>
[[gnu::always_inline]] inline void store(T& element, Accumulator<T> value) {
  element = static_cast<T>(value);
}

/// Calls `body(A{})` with A = float or double, whichever `dtype` names: a dtype that sums are kept
/// in. @throws Error naming `where` for any other dtype.
template <class Body>
void dispatch_accumulator(DType dtype, const char* where, Body&& body) {
  if (dtype == DType::Float32) {
    body(float{});
  } else if (dtype == DType::Float64) {
    body(double{});
  } else {
    fail(where, "dtype {} keeps no sums; expected float32 or float64", name_of(dtype));
  }
}

/// Calls `body(T{})` with T = float, double or BFloat16, whichever `dtype` names.
/// @throws Error naming `where` for any other dtype.
template <class Body>
void dispatch_floating(DType dtype, const char* where, Body&& body) {
  if (dtype == DType::Float32) {
    body(float{});
  } else if (dtype == DType::Float64) {
    body(double{});
  } else if (dtype == DType::BFloat16) {
    body(BFloat16{});
  } else {
    fail(where, "dtype {} is not a floating type; expected float32, float64 or bfloat16",
         name_of(dtype));
  }
}

}  // namespace shardgrad
