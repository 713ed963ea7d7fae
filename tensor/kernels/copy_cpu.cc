#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tensor/kernels/copy.h"
#include "tensor/kernels/strided_loop.h"
#include "tensor/parallel_for.h"
#include "tensor/round_up.h"

namespace shardgrad::cpu {
namespace {

// Elements that are worth a thread.
constexpr std::int64_t kGrain = 32768;
// Side of the square that a transposing copy works on: a cache line of float32, so that each line
// of the source and of the destination is fetched once.
constexpr std::int64_t kTile = 16;

template <class To, class From>
[[gnu::always_inline]] inline To convert(From value) {
  if constexpr (std::is_same_v<From, To>) {
    return value;  // with the bits of a NaN
  } else if constexpr (std::is_same_v<To, std::int32_t>) {
    constexpr double kLowest = std::numeric_limits<std::int32_t>::min();
    constexpr double kHighest = std::numeric_limits<std::int32_t>::max();
    const double wide = widen(value);
    const double number = wide == wide ? wide : 0.0;
    return static_cast<To>(std::min(std::max(number, kLowest), kHighest));
  } else {
    return static_cast<To>(static_cast<Accumulator<To>>(widen(value)));
  }
}

// Calls body(T{}) with the C++ type of `dtype`.
template <class Body>
void dispatch_any(DType dtype, const char* where, Body&& body) {
  if (dtype == DType::Int32) {
    body(std::int32_t{});
  } else {
    dispatch_floating(dtype, where, body);
  }
}

template <class From, class To>
void copy_line(const From* source, std::int64_t source_stride, To* destination,
               std::int64_t destination_stride, std::int64_t count) {
  if (source_stride == 1 && destination_stride == 1) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(destination, source, static_cast<std::size_t>(count) * sizeof(To));
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) destination[i] = convert<To>(source[i]);
    }
  } else if (source_stride == 0 && destination_stride == 1) {
    std::fill(destination, destination + count, convert<To>(*source));
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      destination[i * destination_stride] = convert<To>(source[i * source_stride]);
    }
  }
}

// The places in source and destination where step `index` of the first `dims` loops starts.
struct Offsets {
  std::int64_t source = 0;
  std::int64_t destination = 0;
};
Offsets offsets_of(const StridedLoop& loop, int dims, std::int64_t index) {
  Offsets offsets;
  for (int dim = dims - 1; dim >= 0; --dim) {
    const std::int64_t step = index % loop.extents[dim];
    index /= loop.extents[dim];
    offsets.source += step * loop.source[dim];
    offsets.destination += step * loop.destination[dim];
  }
  return offsets;
}

std::int64_t steps_of(const StridedLoop& loop, int dims) {
  std::int64_t steps = 1;
  for (int dim = 0; dim < dims; ++dim) steps *= loop.extents[dim];
  return steps;
}

// The last two dims read across the source's lines: squares of kTile x kTile keep both sides in
// cache. Each outer step is one strip of kTile rows.
template <class From, class To>
void copy_transposing(const From* source, To* destination, const StridedLoop& loop) {
  const int row_dim = loop.rank - 2;
  const int column_dim = loop.rank - 1;
  const std::int64_t rows = loop.extents[row_dim];
  const std::int64_t columns = loop.extents[column_dim];
  const std::int64_t strips = parts_of(rows, kTile);
  const std::int64_t grain = kGrain / (kTile * columns) + 1;
  parallel_for(steps_of(loop, row_dim) * strips, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const Offsets offsets = offsets_of(loop, row_dim, index / strips);
      const std::int64_t first_row = index % strips * kTile;
      const std::int64_t last_row = std::min(first_row + kTile, rows);
      for (std::int64_t column = 0; column < columns; column += kTile) {
        const std::int64_t width = std::min(kTile, columns - column);
        for (std::int64_t row = first_row; row < last_row; ++row) {
          copy_line(source + offsets.source + row * loop.source[row_dim] +
                        column * loop.source[column_dim],
                    loop.source[column_dim],
                    destination + offsets.destination + row * loop.destination[row_dim] +
                        column * loop.destination[column_dim],
                    loop.destination[column_dim], width);
        }
      }
    }
  });
}

// One call of copy_line for each step of all loops but the last.
template <class From, class To>
void copy_lines(const From* source, To* destination, const StridedLoop& loop) {
  const int line_dim = loop.rank - 1;
  const std::int64_t length = loop.extents[line_dim];
  const std::int64_t source_stride = loop.source[line_dim];
  const std::int64_t destination_stride = loop.destination[line_dim];
  if (loop.rank == 1) {
    parallel_for(length, kGrain, [&](std::int64_t begin, std::int64_t end) {
      copy_line(source + begin * source_stride, source_stride,
                destination + begin * destination_stride, destination_stride, end - begin);
    });
    return;
  }
  const std::int64_t grain = kGrain / length + 1;
  parallel_for(steps_of(loop, line_dim), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const Offsets offsets = offsets_of(loop, line_dim, index);
      copy_line(source + offsets.source, source_stride, destination + offsets.destination,
                destination_stride, length);
    }
  });
}

template <class From, class To>
void copy_strided(const From* source, To* destination, const StridedLoop& loop) {
  const bool transposing = loop.rank >= 2 && loop.source[loop.rank - 1] != 1 &&
                           loop.source[loop.rank - 2] < loop.source[loop.rank - 1];
  if (transposing) {
    copy_transposing(source, destination, loop);
  } else {
    copy_lines(source, destination, loop);
  }
}

// Whether the spans of memory from the first to the last element of two tensors meet.
bool spans_overlap(const Tensor& a, const Tensor& b) {
  if (!a.shares_storage_with(b)) return false;
  const auto begin_of = [](const Tensor& tensor) {
    return static_cast<const char*>(tensor.raw_data());
  };
  const auto end_of = [&](const Tensor& tensor) {
    std::int64_t last = 0;
    for (int dim = 0; dim < tensor.rank(); ++dim) {
      last += (tensor.shape()[dim] - 1) * tensor.strides()[dim];
    }
    return begin_of(tensor) + static_cast<std::size_t>(last + 1) * size_of(tensor.dtype());
  };
  return begin_of(a) < end_of(b) && begin_of(b) < end_of(a);
}

}  // namespace

void copy(const Tensor& source, Tensor& destination) {
  if (source.numel() == 0) return;
  if (spans_overlap(source, destination)) {
    // Read everything before the first write.
    Tensor dense = Tensor::empty_like(source);
    copy(source, dense);
    copy(dense, destination);
    return;
  }
  const StridedLoop loop = plan_loop(source.shape(), source.strides(), destination.strides());
  dispatch_any(source.dtype(), "copy", [&](auto from) {
    using From = decltype(from);
    dispatch_any(destination.dtype(), "copy", [&](auto to) {
      using To = decltype(to);
      copy_strided(source.data<From>(), destination.data<To>(), loop);
    });
  });
}

void fill(Tensor& x, double value) {
  if (x.numel() == 0) return;
  // A copy of one number that every step of the source stays at.
  Shape standing_still = x.shape();
  for (int dim = 0; dim < x.rank(); ++dim) standing_still[dim] = 0;
  const StridedLoop loop = plan_loop(x.shape(), standing_still, x.strides());
  dispatch_any(x.dtype(), "fill", [&](auto type) {
    using T = decltype(type);
    const T number = convert<T>(value);
    copy_strided(&number, x.data<T>(), loop);
  });
}

}  // namespace shardgrad::cpu
