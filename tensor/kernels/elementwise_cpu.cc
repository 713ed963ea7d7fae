#include <cmath>
#include <limits>

#include "tensor/kernels/column_sums.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/elementwise.h"

namespace shardgrad::cpu {
namespace {

// out[i] = operation(a[i], b[i]).
template <class Operation>
void combine(const char* where, const Tensor& a, const Tensor& b, Tensor& out,
             const Operation& operation) {
  dispatch_floating(a.dtype(), where, [&](auto type) {
    using T = decltype(type);
    const T* const left = a.data<T>();
    const T* const right = b.data<T>();
    T* const result = out.data<T>();
    parallel_elements(a.numel(), [=](std::int64_t i) {
      store(result[i], operation(widen(left[i]), widen(right[i])));
    });
  });
}

}  // namespace

void add(const Tensor& a, const Tensor& b, Tensor& out) {
  combine("add", a, b, out, [](auto x, auto y) { return x + y; });
}

void multiply(const Tensor& a, const Tensor& b, Tensor& out) {
  combine("multiply", a, b, out, [](auto x, auto y) { return x * y; });
}

void scale(const Tensor& x, double factor, Tensor& out) {
  dispatch_floating(x.dtype(), "scale", [&](auto type) {
    using T = decltype(type);
    const T* const source = x.data<T>();
    T* const result = out.data<T>();
    const auto multiplier = static_cast<Accumulator<T>>(factor);
    parallel_elements(x.numel(),
                      [=](std::int64_t i) { store(result[i], multiplier * widen(source[i])); });
  });
}

void square_root(const Tensor& x, Tensor& out) {
  dispatch_floating(x.dtype(), "square_root", [&](auto type) {
    using T = decltype(type);
    const T* const source = x.data<T>();
    T* const result = out.data<T>();
    parallel_elements(x.numel(),
                      [=](std::int64_t i) { store(result[i], std::sqrt(widen(source[i]))); });
  });
}

void reject_above(const Tensor& x, double limit, Tensor& out) {
  dispatch_floating(x.dtype(), "reject_above", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const source = x.data<T>();
    T* const result = out.data<T>();
    const auto most = static_cast<A>(limit);
    parallel_elements(x.numel(), [=](std::int64_t i) {
      if (!(widen(source[i]) <= most)) store(result[i], std::numeric_limits<A>::quiet_NaN());
    });
  });
}

void add_bias(const Tensor& x, const Tensor& bias, Tensor& out) {
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  dispatch_floating(x.dtype(), "add_bias", [&](auto type) {
    using T = decltype(type);
    const T* const source = x.data<T>();
    const T* const shift = bias.data<T>();
    T* const result = out.data<T>();
    parallel_rows(rows, columns, [=](std::int64_t row) {
      const T* const from = source + row * columns;
      T* const to = result + row * columns;
#pragma omp simd
      for (std::int64_t n = 0; n < columns; ++n) store(to[n], widen(from[n]) + widen(shift[n]));
    });
  });
}

void sum_rows(const Tensor& x, Tensor& out, bool accumulate) {
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  dispatch_floating(x.dtype(), "sum_rows", [&](auto type) {
    using T = decltype(type);
    const T* const source = x.data<T>();
    const auto element = [=](std::int64_t row, std::int64_t column) {
      return widen(source[row * columns + column]);
    };
    const auto fetch_ahead = [=](std::int64_t row, std::int64_t first, std::int64_t width)
        __attribute__((always_inline)) {
      fetch_group(source, columns, row, first, width);
    };
    dispatch_sum<T>(out.dtype(), [&](auto sum) {
      using Out = decltype(sum);
      sum_columns<Accumulator<T>>(rows, columns, element, fetch_ahead, out.data<Out>(), accumulate);
    });
  });
}

}  // namespace shardgrad::cpu
