// One call of cached_attention() and what it should give: the last rows of attention written out.
#pragma once

#include <limits>

#include "tensor/kernels/cached_attention.h"
#include "tests/tensor/attention_reference.h"

namespace shardgrad::attention_reference {

/// Random sequences, cut into what is cached and the newest tokens. What the kernel must not read
/// is NaN.
struct CachedCase {
  CachedCase(const CachedAttentionShape& shape, DType dtype, double scale = 1.0) : shape(shape) {
    const std::int64_t width = shape.heads * shape.head_dim, length = shape.length;
    const Tensor all =
        reference::random_tensor({shape.batch * length, 3 * width}, DType::Float64, 1, scale)
            .to(dtype);
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    qkv = Tensor::full({shape.batch * shape.queries, 3 * width}, kNaN, dtype);
    cache = Tensor::full({shape.batch, shape.capacity, 2 * width}, kNaN, dtype);
    const AttentionShape whole{shape.batch, length, shape.heads, shape.head_dim, 0, shape.heads, 0};
    const Tensor no_gradient = Tensor::zeros({shape.batch * length, width}, DType::Float64);
    const Matrix out = attention(all, Tensor(), no_gradient, whole, DropoutMask()).out;
    expected.resize(shape.batch * shape.queries, width);
    for (std::int64_t sequence = 0; sequence < shape.batch; ++sequence) {
      const Tensor rows = all.slice(0, sequence * length, length);
      cache.slice(0, sequence, 1)
          .reshape({shape.capacity, 2 * width})
          .slice(0, 0, length)
          .copy_from(rows.slice(1, width, 2 * width));
      qkv.slice(0, sequence * shape.queries, shape.queries)
          .slice(1, 0, width)
          .copy_from(rows.slice(0, length - shape.queries, shape.queries).slice(1, 0, width));
      expected.middleRows(sequence * shape.queries, shape.queries) =
          out.middleRows((sequence + 1) * length - shape.queries, shape.queries);
    }
  }

  /// The kernel's output, where `device` is, on the host.
  Tensor run(Device device) const {
    Tensor out = Tensor::full({shape.batch * shape.queries, shape.heads * shape.head_dim},
                              std::numeric_limits<double>::quiet_NaN(), qkv.dtype())
                     .to(device);
    kernels::cached_attention(qkv.to(device), cache.to(device), shape, out);
    return out.to(Device{});
  }

  CachedAttentionShape shape;
  Tensor qkv, cache;
  Matrix expected;  ///< [B*Q, H*Dh]
};

}  // namespace shardgrad::attention_reference
