#include "tensor/kernels/copy.h"
#include "tensor/kernels/dropout.h"
#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/random_words.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {

void dropout(const Tensor& x, const DropoutMask& mask, Tensor& out) {
  dispatch_floating(x.dtype(), "dropout", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const in = x.data<T>();
    T* const result = out.data<T>();
    if (mask.threshold() == 0) {  // keeps everything: nothing to draw
      if (result != in) copy(x, out);
      return;
    }
    const std::uint32_t threshold = mask.threshold();
    const A factor = static_cast<A>(mask.scale());
    parallel_words(mask.random, mask.first_element, x.numel(),
                   [=](std::int64_t i, std::uint32_t word) {
                     const A kept = widen(in[i]) * factor;
                     store(result[i], word >= threshold ? kept : A(0));
                   });
  });
}

void dropout_add(const Tensor& x, const Tensor& residual, const DropoutMask& mask, Tensor& out) {
  if (mask.threshold() == 0) {
    add(residual, x, out);
    return;
  }
  dispatch_floating(x.dtype(), "dropout_add", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const T* const branch = x.data<T>();
    const T* const skip = residual.data<T>();
    T* const result = out.data<T>();
    const std::uint32_t threshold = mask.threshold();
    const A factor = static_cast<A>(mask.scale());
    parallel_words(mask.random, mask.first_element, x.numel(),
                   [=](std::int64_t i, std::uint32_t word) {
                     const A passing = widen(skip[i]);
                     const A kept = multiply_add(widen(branch[i]), factor, passing);
                     store(result[i], word >= threshold ? kept : passing);
                   });
  });
}

}  // namespace shardgrad::cpu
