#include "tensor/cuda/dropout.cuh"
#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/copy.h"
#include "tensor/kernels/dropout.h"
#include "tensor/kernels/elementwise.h"

namespace shardgrad::cuda {
namespace {

// out = dropout(x), or residual + dropout(x) where there is a residual. A thread draws the words of
// a whole pack at once.
template <class T, bool kResidual>
__global__ void dropout_kernel(std::int64_t count, bool packed, DeviceMask<Accumulator<T>> mask,
                               const T* x, const T* residual, T* out) {
  using A = Accumulator<T>;
  constexpr int kSize = Pack<T>::kSize;
  const auto apply = [&mask](bool kept, A value, A skip) {
    if (kResidual) return add_kept(kept, value, mask.scale, skip);
    return kept ? value * mask.scale : A(0);
  };
  const std::int64_t packs = packed ? count / kSize : 0;
  for (std::int64_t p = global_thread(); p < packs; p += all_threads()) {
    const Pack<T> branch = load_pack(x + p * kSize);
    const Pack<T> skip = kResidual ? load_pack(residual + p * kSize) : branch;
    const unsigned kept = mask.template keeps_bits<kSize>(p * kSize);
    Pack<T> result;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      result.value[i] =
          narrow<T>(apply((kept >> i & 1u) != 0, widen(branch.value[i]), widen(skip.value[i])));
    }
    store_pack(out + p * kSize, result);
  }
  for (std::int64_t i = packs * kSize + global_thread(); i < count; i += all_threads()) {
    out[i] = narrow<T>(apply(mask.keeps(i), widen(x[i]), kResidual ? widen(residual[i]) : A(0)));
  }
}

template <class T, bool kResidual>
void run(const char* name, const Tensor& x, const T* residual, const DropoutMask& mask,
         Tensor& out) {
  const T* const branch = device_data<T>(x);
  T* const result = device_data<T>(out);
  const bool packed = fits_packs<T>(0, branch, residual, result);
  const std::int64_t pieces = packed ? x.numel() / Pack<T>::kSize + 1 : x.numel();
  if (x.numel() == 0) return;
  launch(name, element_blocks(pieces), kElementThreads, 0, dropout_kernel<T, kResidual>, x.numel(),
         packed, DeviceMask<Accumulator<T>>(mask), branch, residual, result);
}

}  // namespace

void dropout(const Tensor& x, const DropoutMask& mask, Tensor& out) {
  if (mask.threshold() == 0) {  // keeps everything: nothing to draw
    if (out.raw_data() != x.raw_data()) copy(x, out);
    return;
  }
  dispatch_element(x.dtype(), "dropout", [&](auto type) {
    using T = decltype(type);
    run<T, false>("dropout", x, static_cast<const T*>(nullptr), mask, out);
  });
}

void dropout_add(const Tensor& x, const Tensor& residual, const DropoutMask& mask, Tensor& out) {
  if (mask.threshold() == 0) {
    add(residual, x, out);
    return;
  }
  dispatch_element(x.dtype(), "dropout_add", [&](auto type) {
    using T = decltype(type);
    run<T, true>("dropout_add", x, device_data<T>(residual), mask, out);
  });
}

}  // namespace shardgrad::cuda
