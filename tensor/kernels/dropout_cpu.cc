#include "tensor/kernels/checks.h"
#include "tensor/kernels/copy.h"
#include "tensor/kernels/dropout.h"
#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/random_words.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {
namespace {

void check_mask(const char* where, const DropoutMask& mask) {
  require(mask.probability >= 0.0 && mask.probability < 1.0, where,
          "probability is {}; expected at least 0 and less than 1", mask.probability);
  require(mask.first_element >= 0, where, "first_element is {}; expected at least 0",
          mask.first_element);
}

}  // namespace

void dropout(const Tensor& x, const DropoutMask& mask, Tensor& out) {
  check_mask("dropout", mask);
  require_leading_operand("dropout", "x", x);
  require_operand("dropout", "out", out, x.shape(), x.dtype());
  dispatch_floating(x.dtype(), "dropout", [&](auto type) {
    using T = decltype(type);
    const T* const in = x.data<T>();
    T* const result = out.data<T>();
    if (mask.threshold() == 0) {  // keeps everything: nothing to draw
      if (result != in) copy(x, out);
      return;
    }
    const std::uint32_t threshold = mask.threshold();
    const T factor = static_cast<T>(mask.scale());
    parallel_words(mask.random, mask.first_element, x.numel(),
                   [=](std::int64_t i, std::uint32_t word) {
                     const T kept = in[i] * factor;
                     result[i] = word >= threshold ? kept : T(0);
                   });
  });
}

void dropout_add(const Tensor& x, const Tensor& residual, const DropoutMask& mask, Tensor& out) {
  check_mask("dropout_add", mask);
  require_leading_operand("dropout_add", "x", x);
  require_operand("dropout_add", "residual", residual, x.shape(), x.dtype());
  require_operand("dropout_add", "out", out, x.shape(), x.dtype());
  if (mask.threshold() == 0) {
    add(residual, x, out);
    return;
  }
  dispatch_floating(x.dtype(), "dropout_add", [&](auto type) {
    using T = decltype(type);
    const T* const branch = x.data<T>();
    const T* const skip = residual.data<T>();
    T* const result = out.data<T>();
    const std::uint32_t threshold = mask.threshold();
    const T factor = static_cast<T>(mask.scale());
    parallel_words(mask.random, mask.first_element, x.numel(),
                   [=](std::int64_t i, std::uint32_t word) {
                     const T kept = multiply_add(branch[i], factor, skip[i]);
                     result[i] = word >= threshold ? kept : skip[i];
                   });
  });
}

}  // namespace shardgrad::cpu
