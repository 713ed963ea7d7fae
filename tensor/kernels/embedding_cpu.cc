#include <algorithm>

#include "tensor/kernels/copy.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/embedding.h"

namespace shardgrad::cpu {
namespace {

// The upper end of the ids is the whole vocabulary's, which only the caller knows.
void check_ids(const char* where, const Tensor& ids) {
  const std::int32_t* const id = ids.data<std::int32_t>();
  for (std::int64_t m = 0; m < ids.numel(); ++m) {
    require(id[m] >= 0, where, "id {} at position {} is negative; expected a row of the table",
            id[m], m);
  }
}

}  // namespace

void embedding_forward(const Tensor& ids, const Tensor& table, std::int64_t first_row,
                       Tensor& out) {
  check_ids("embedding_forward", ids);
  const std::int64_t rows = table.size(0);
  const std::int64_t columns = table.size(1);
  dispatch_floating(table.dtype(), "embedding_forward", [&](auto type) {
    using T = decltype(type);
    const std::int32_t* const id = ids.data<std::int32_t>();
    const T* const source = table.data<T>();
    T* const result = out.data<T>();
    parallel_rows(ids.numel(), columns, [=](std::int64_t m) {
      const std::int64_t row = id[m] - first_row;
      T* const to = result + m * columns;
      if (row >= 0 && row < rows) {
        std::copy_n(source + row * columns, columns, to);
      } else {
        std::fill_n(to, columns, T(0.0f));
      }
    });
  });
}

void embedding_backward(const Tensor& ids, const Tensor& dy, std::int64_t first_row,
                        Tensor& dtable) {
  check_ids("embedding_backward", ids);
  const DType sums = accumulation_dtype(dtable.dtype());
  if (dtable.dtype() != sums) {  // so that an element is rounded once, after all additions
    Tensor wide = dtable.to(sums);
    embedding_backward(ids, dy, first_row, wide);
    copy(wide, dtable);
    return;
  }
  const std::int64_t rows = dtable.size(0);
  const std::int64_t columns = dtable.size(1);
  const std::int64_t tokens = ids.numel();
  dispatch_floating(dy.dtype(), "embedding_backward", [&](auto type) {
    using T = decltype(type);
    const std::int32_t* const id = ids.data<std::int32_t>();
    const T* const gradient = dy.data<T>();
    Accumulator<T>* const table = dtable.data<Accumulator<T>>();
    // Each thread owns some columns of every row, so no two threads add to one element.
    parallel_columns(tokens, columns, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t m = 0; m < tokens; ++m) {
        const std::int64_t row = id[m] - first_row;
        if (row < 0 || row >= rows) continue;
        const T* const from = gradient + m * columns;
        Accumulator<T>* const to = table + row * columns;
#pragma omp simd
        for (std::int64_t n = begin; n < end; ++n) to[n] += widen(from[n]);
      }
    });
  });
}

}  // namespace shardgrad::cpu
