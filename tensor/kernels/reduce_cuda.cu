#include "tensor/cuda/device_math.cuh"
#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/reduce.h"

namespace shardgrad::cuda {
namespace {

struct Plus {
  __device__ static double of_block(double value, double* scratch) {
    return block_sum(value, scratch);
  }
  __device__ static double combine(double a, double b) { return a + b; }
};

// Of numbers that are at least 0.
struct Larger {
  __device__ static double of_block(double value, double* scratch) {
    return block_max(value, scratch);
  }
  __device__ static double combine(double a, double b) { return max_or_nan(a, b); }
};

template <class T>
struct Itself {
  const T* x;
  __device__ double operator()(std::int64_t i) const { return widen(x[i]); }
};
template <class T>
struct Square {
  const T* x;
  __device__ double operator()(std::int64_t i) const {
    const double value = widen(x[i]);
    return value * value;
  }
};
template <class T>
struct Distance {
  const T* a;
  const T* b;
  __device__ double operator()(std::int64_t i) const {
    return fabs(static_cast<double>(widen(a[i])) - static_cast<double>(widen(b[i])));
  }
};

template <class Reduction, class Term>
__global__ void reduce_kernel(std::int64_t count, Term term, double* out) {
  __shared__ double scratch[32];
  double result = 0.0;
  for (std::int64_t i = global_thread(); i < count; i += all_threads()) {
    result = Reduction::combine(result, term(i));
  }
  result = Reduction::of_block(result, scratch);
  if (threadIdx.x == 0) out[blockIdx.x] = result;
}

// The blocks' results are combined by one more block. How many there are depends on the count only,
// so the result has the same bits on every GPU.
template <class Reduction, class Term>
void reduce(const char* name, std::int64_t count, const Term& term, Tensor& out) {
  constexpr std::int64_t kMostBlocks = 1024;
  constexpr std::int64_t kElementsOfThread = 4;
  const std::int64_t blocks = min(kMostBlocks, count / (kElementThreads * kElementsOfThread) + 1);
  Tensor partial = Tensor::empty({blocks}, DType::Float64, out.device());
  double* const results = device_data<double>(partial);
  launch(name, static_cast<unsigned>(blocks), kElementThreads, 0, reduce_kernel<Reduction, Term>,
         count, term, results);
  launch(name, 1, kElementThreads, 0, reduce_kernel<Reduction, Itself<double>>, blocks,
         Itself<double>{results}, device_data<double>(out));
}

}  // namespace

void sum(const Tensor& x, Tensor& out) {
  dispatch_element(x.dtype(), "sum", [&](auto type) {
    using T = decltype(type);
    reduce<Plus>("sum", x.numel(), Itself<T>{device_data<T>(x)}, out);
  });
}

void sum_of_squares(const Tensor& x, Tensor& out) {
  dispatch_element(x.dtype(), "sum_of_squares", [&](auto type) {
    using T = decltype(type);
    reduce<Plus>("sum_of_squares", x.numel(), Square<T>{device_data<T>(x)}, out);
  });
}

void max_abs_difference(const Tensor& a, const Tensor& b, Tensor& out) {
  dispatch_element(a.dtype(), "max_abs_difference", [&](auto type) {
    using T = decltype(type);
    reduce<Larger>("max_abs_difference", a.numel(),
                   Distance<T>{device_data<T>(a), device_data<T>(b)}, out);
  });
}

}  // namespace shardgrad::cuda
