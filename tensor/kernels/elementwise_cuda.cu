#include <cmath>

#include "tensor/cuda/column_sums.cuh"
#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/elementwise.h"

namespace shardgrad::cuda {
namespace {

struct Add {
  template <class A>
  __device__ A operator()(std::int64_t, A a, A b) const {
    return a + b;
  }
};

struct Multiply {
  template <class A>
  __device__ A operator()(std::int64_t, A a, A b) const {
    return a * b;
  }
};

template <class A>
struct Scale {
  A factor;
  __device__ A operator()(std::int64_t, A x) const { return factor * x; }
};

struct SquareRoot {
  template <class A>
  __device__ A operator()(std::int64_t, A x) const {
    return sqrt(x);
  }
};

template <class A>
struct RejectAbove {
  A limit;
  __device__ A operator()(std::int64_t, A x, A value) const {
    return x <= limit ? value : static_cast<A>(NAN);
  }
};

template <class T>
struct AddBias {
  const T* bias;
  std::int64_t columns;
  __device__ Accumulator<T> operator()(std::int64_t i, Accumulator<T> x) const {
    return x + widen(bias[i % columns]);
  }
};

template <class T>
struct ElementOf {
  const T* x;
  std::int64_t columns;
  __device__ Sums<Accumulator<T>, 1> operator()(std::int64_t row, std::int64_t column) const {
    return {{widen(x[row * columns + column])}};
  }
};

template <class Out, class A>
struct StoreSum {
  Out* out;
  bool accumulate;
  __device__ void operator()(std::int64_t column, const Sums<A, 1>& sums) const {
    const A before = accumulate ? widen(out[column]) : A(0);
    out[column] = narrow<Out>(before + sums.value[0]);
  }
};

}  // namespace

void add(const Tensor& a, const Tensor& b, Tensor& out) {
  dispatch_element(a.dtype(), "add", [&](auto type) {
    using T = decltype(type);
    map_elements("add", a.numel(), Add{}, device_data<T>(out), device_data<T>(a),
                 device_data<T>(b));
  });
}

void multiply(const Tensor& a, const Tensor& b, Tensor& out) {
  dispatch_element(a.dtype(), "multiply", [&](auto type) {
    using T = decltype(type);
    map_elements("multiply", a.numel(), Multiply{}, device_data<T>(out), device_data<T>(a),
                 device_data<T>(b));
  });
}

void scale(const Tensor& x, double factor, Tensor& out) {
  dispatch_element(x.dtype(), "scale", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    map_elements("scale", x.numel(), Scale<A>{static_cast<A>(factor)}, device_data<T>(out),
                 device_data<T>(x));
  });
}

void square_root(const Tensor& x, Tensor& out) {
  dispatch_element(x.dtype(), "square_root", [&](auto type) {
    using T = decltype(type);
    map_elements("square_root", x.numel(), SquareRoot{}, device_data<T>(out), device_data<T>(x));
  });
}

void reject_above(const Tensor& x, double limit, Tensor& out) {
  dispatch_element(x.dtype(), "reject_above", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    map_elements("reject_above", x.numel(), RejectAbove<A>{static_cast<A>(limit)},
                 device_data<T>(out), device_data<T>(x), device_data<T>(out));
  });
}

void add_bias(const Tensor& x, const Tensor& bias, Tensor& out) {
  dispatch_element(x.dtype(), "add_bias", [&](auto type) {
    using T = decltype(type);
    map_elements("add_bias", x.numel(), AddBias<T>{device_data<T>(bias), x.size(1)},
                 device_data<T>(out), device_data<T>(x));
  });
}

void sum_rows(const Tensor& x, Tensor& out, bool accumulate) {
  const DType accumulator = accumulation_dtype(x.dtype());
  dispatch_element(x.dtype(), "sum_rows", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const ElementOf<T> element{device_data<T>(x), x.size(1)};
    if (out.dtype() == accumulator) {
      sum_columns<A, 1>("sum_rows", x.size(0), x.size(1), element,
                        StoreSum<A, A>{device_data<A>(out), accumulate}, accumulator, x.device());
    } else {
      sum_columns<A, 1>("sum_rows", x.size(0), x.size(1), element,
                        StoreSum<T, A>{device_data<T>(out), accumulate}, accumulator, x.device());
    }
  });
}

}  // namespace shardgrad::cuda
