// A warp's tile of a matrix, held in tensor-core fragments: bfloat16 products summed in float. The
// interface is that of CoreTile.
#pragma once

#include <mma.h>

#include "tensor/cuda/attention_tile.cuh"

namespace shardgrad::cuda {

inline constexpr int kFragmentEdge = 16;
inline constexpr int kFragmentElements = 8;  // of a lane in an accumulator
// A row of the scratch begins four banks after the one before it.
inline constexpr int kFragmentStride = kFragmentEdge + 4;

using Accumulators = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kFragmentEdge, kFragmentEdge,
                                            kFragmentEdge, float>;

/// Which elements of an accumulator a lane holds. CUDA does not say, only that all accumulators
/// agree: so this is read off one that was loaded with the places of its own elements.
class TensorMap {
 public:
  /// `scratch` is kFragmentEdge rows of kFragmentStride floats for each warp; free again
  /// afterwards.
  __device__ explicit TensorMap(float* scratch) {
    for (int i = lane_of_warp(); i < kFragmentEdge * kFragmentEdge; i += 32) {
      scratch[i / kFragmentEdge * kFragmentStride + i % kFragmentEdge] = static_cast<float>(i);
    }
    __syncwarp();
    Accumulators places;
    nvcuda::wmma::load_matrix_sync(places, scratch, kFragmentStride, nvcuda::wmma::mem_row_major);
#pragma unroll
    for (int e = 0; e < kFragmentElements; ++e) {
      const int place = static_cast<int>(places.x[e]);
      row_[e] = place / kFragmentEdge;
      column_[e] = place % kFragmentEdge;
    }
    __syncwarp();
  }
  /// Of a tile of several fragments below each other.
  __device__ int row(int slot) const {
    return slot / kFragmentElements * kFragmentEdge + row_[slot % kFragmentElements];
  }
  __device__ int column(int e) const { return column_[e]; }

 private:
  int row_[kFragmentElements], column_[kFragmentElements];
};

/// kRows x kColumns floats in fragments. A slot is one of the elements of a lane in a fragment;
/// more than one slot may be of the same row.
template <int kRows, int kColumns>
struct TensorTile {
  using A = float;
  using T = __nv_bfloat16;
  using Map = TensorMap;
  static constexpr int kEdge = kFragmentEdge;
  static constexpr int kElements = kFragmentElements;
  static constexpr int kFragmentRows = kRows / kEdge, kFragmentColumns = kColumns / kEdge;
  static constexpr int kSlots = kFragmentRows * kElements;
  static constexpr int kScratch = kEdge * kFragmentStride;

  template <class Use, class Layout>
  using Operand = nvcuda::wmma::fragment<Use, kEdge, kEdge, kEdge, T, Layout>;

  Accumulators part[kFragmentRows][kFragmentColumns];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < kFragmentRows; ++i) {
#pragma unroll
      for (int j = 0; j < kFragmentColumns; ++j) nvcuda::wmma::fill_fragment(part[i][j], 0.0f);
    }
  }

  template <int kDepth, int kStride>
  __device__ void multiply_transposed(const Map&, const T* left, const T* right) {
    multiply<kDepth, kStride, kStride, nvcuda::wmma::col_major>(left, right);
  }

  template <int kDepth, int kLeftStride, int kRightStride>
  __device__ void multiply_add(const Map&, const T* left, const T* right) {
    multiply<kDepth, kLeftStride, kRightStride, nvcuda::wmma::row_major>(left, right);
  }

  template <class Body, class... Others>
  __device__ void for_each(const Map& map, const Body& body, Others&... others) {
#pragma unroll
    for (int i = 0; i < kFragmentRows; ++i) {
#pragma unroll
      for (int j = 0; j < kFragmentColumns; ++j) {
#pragma unroll
        for (int e = 0; e < kElements; ++e) {
          body(i * kElements + e, j * kEdge + map.column(e), part[i][j].x[e],
               others.part[i][j].x[e]...);
        }
      }
    }
  }

  template <class Combine>
  static __device__ void reduce_rows(const Map&, const A (&values)[kSlots], A* scratch, A* of_row,
                                     const Combine& combine) {
    const int lane = lane_of_warp();
#pragma unroll
    for (int i = 0; i < kFragmentRows; ++i) {
      Accumulators fragment;
#pragma unroll
      for (int e = 0; e < kElements; ++e) fragment.x[e] = values[i * kElements + e];
      nvcuda::wmma::store_matrix_sync(scratch, fragment, kFragmentStride,
                                      nvcuda::wmma::mem_row_major);
      __syncwarp();
      const A* const half = scratch + lane / 2 * kFragmentStride + lane % 2 * (kEdge / 2);
      A result = half[0];
#pragma unroll
      for (int c = 1; c < kEdge / 2; ++c) result = combine(result, half[c]);
      result = combine(result, __shfl_xor_sync(kAllLanes, result, 1));
      if (lane % 2 == 0) of_row[i * kEdge + lane / 2] = result;
      __syncwarp();
    }
  }

 private:
  template <int kDepth, int kLeftStride, int kRightStride, class RightLayout>
  __device__ void multiply(const T* left, const T* right) {
    constexpr bool kTransposed = std::is_same_v<RightLayout, nvcuda::wmma::col_major>;
#pragma unroll
    for (int k = 0; k < kDepth; k += kEdge) {
      Operand<nvcuda::wmma::matrix_a, nvcuda::wmma::row_major> a[kFragmentRows];
#pragma unroll
      for (int i = 0; i < kFragmentRows; ++i) {
        nvcuda::wmma::load_matrix_sync(a[i], left + i * kEdge * kLeftStride + k, kLeftStride);
      }
#pragma unroll
      for (int j = 0; j < kFragmentColumns; ++j) {
        Operand<nvcuda::wmma::matrix_b, RightLayout> b;
        nvcuda::wmma::load_matrix_sync(
            b, right + (kTransposed ? j * kEdge * kRightStride + k : k * kRightStride + j * kEdge),
            kRightStride);
#pragma unroll
        for (int i = 0; i < kFragmentRows; ++i) {
          nvcuda::wmma::mma_sync(part[i][j], a[i], b, part[i][j]);
        }
      }
    }
  }
};

}  // namespace shardgrad::cuda
