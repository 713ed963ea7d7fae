// The loop nest of a copy between two views of one shape, planned on the host for either device.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/shape.h"

namespace shardgrad {

/// Nested loops with as few dims as the strides allow, at least one. Strides are in elements. Plain
/// arrays, since kernels take it as an argument.
struct StridedLoop {
  int rank = 0;
  std::int64_t extents[Shape::kMaxRank] = {};
  std::int64_t source[Shape::kMaxRank] = {};
  std::int64_t destination[Shape::kMaxRank] = {};
};

/// Orders the dims of `shape` by falling destination stride, so that writes run forward, and merges
/// those that both sides traverse with one stride. Dims of extent 1 disappear.
inline StridedLoop plan_loop(const Shape& shape, const Shape& source, const Shape& destination) {
  int order[Shape::kMaxRank];
  int used = 0;
  for (int dim = 0; dim < shape.rank(); ++dim) {
    if (shape[dim] != 1) order[used++] = dim;
  }
  std::stable_sort(order, order + used,
                   [&](int a, int b) { return destination[a] > destination[b]; });
  StridedLoop loop;
  for (int i = 0; i < used; ++i) {
    const int dim = order[i];
    const int last = loop.rank - 1;
    const bool merges = last >= 0 && loop.source[last] == shape[dim] * source[dim] &&
                        loop.destination[last] == shape[dim] * destination[dim];
    const int at = merges ? last : loop.rank++;
    loop.extents[at] = merges ? loop.extents[at] * shape[dim] : shape[dim];
    loop.source[at] = source[dim];
    loop.destination[at] = destination[dim];
  }
  if (loop.rank == 0) {  // a single element
    loop.rank = 1;
    loop.extents[0] = 1;
  }
  return loop;
}

}  // namespace shardgrad
