// ShardSpec: which part of a global tensor a rank holds.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/round_up.h"
#include "tensor/shape.h"

namespace shardgrad {

/// The one description of how a parameter is cut over the ranks of its tensor-parallel group, read
/// by whoever needs to know: initialisation, the gradient norm, gathering, checkpoints.
///
/// `dim` is cut into `size` equal parts of which this rank holds number `rank`. With `segments` > 1
/// the dim is that many tensors side by side, each cut on its own: a fused projection of q, k and v
/// gives every rank its heads of each. An extent that `size` does not divide is padded at its end
/// (one segment only): every rank has the same local shape, and the last ones hold rows that belong
/// to nothing. With `multiple` > 1 it is padded until each rank's part is a multiple of that, on
/// one rank, too.
struct ShardSpec {
  Shape global_shape;
  int dim = -1;  ///< -1: every rank holds the whole tensor
  int rank = 0;
  int size = 1;
  std::int64_t segments = 1;
  std::int64_t multiple = 1;

  static ShardSpec replicated(const Shape& shape) { return {shape}; }

  /// Whether the ranks hold different parts.
  bool is_sharded() const { return dim >= 0 && size > 1; }

  /// Whether the local tensor is another than the global one: a part of it, or padded.
  bool is_cut() const { return is_sharded() || (dim >= 0 && multiple > 1); }

  /// The shape of what this rank holds, padding included.
  /// @throws Error when `segments` does not divide the extent, or `size` the segments' extent.
  Shape local_shape() const {
    if (!is_cut()) return global_shape;
    Shape shape = global_shape;
    shape[dim] = segments * local_segment();
    return shape;
  }

  /// Global index, within each segment, of this rank's first one along `dim`.
  std::int64_t first_index() const {
    return is_cut() ? std::min(rank * local_segment(), global_shape[dim] / segments) : 0;
  }

  /// How many indices of each segment this rank holds along `dim`, padding not counted.
  std::int64_t real_extent() const {
    const std::int64_t global = global_shape[std::max(dim, 0)] / segments;
    return is_cut() ? std::min(local_segment(), global - first_index()) : global;
  }

  /// Calls `body(local_offset, global_offset, length)` for each run of elements that lie side by
  /// side in the local tensor and in the global one, both row-major. Padding is in no run.
  template <class Body>
  void for_each_run(const Body& body) const {
    if (!is_cut()) {
      body(std::int64_t{0}, std::int64_t{0}, global_shape.numel());
      return;
    }
    std::int64_t outer = 1, inner = 1;
    for (int d = 0; d < dim; ++d) outer *= global_shape[d];
    for (int d = dim + 1; d < global_shape.rank(); ++d) inner *= global_shape[d];
    const std::int64_t local = local_segment();
    const std::int64_t global = global_shape[dim] / segments;
    const std::int64_t first = first_index();
    const std::int64_t rows = real_extent();
    if (rows == 0) return;
    for (std::int64_t o = 0; o < outer * segments; ++o) {
      body(o * local * inner, (o * global + first) * inner, rows * inner);
    }
  }

 private:
  // Extent of one segment on one rank.
  std::int64_t local_segment() const {
    const std::int64_t extent = global_shape[dim];
    if (segments == 1) return round_up(parts_of(extent, size), multiple);
    require(extent % (segments * size) == 0, "ShardSpec",
            "dim {} of {} does not split into {} segments over {} ranks; expected a multiple of {}",
            dim, global_shape.to_string(), segments, size, segments * size);
    return extent / segments / size;
  }
};

}  // namespace shardgrad
