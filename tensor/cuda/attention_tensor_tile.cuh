// A warp's tile of a matrix, held in tensor-core fragments: bfloat16 products summed in float. The
// interface is that of CoreTile.
#pragma once

#include <cuda_fp16.h>
#include <mma.h>

#include "tensor/cuda/attention_tile.cuh"

namespace shardgrad::cuda {

inline constexpr int kFragmentEdge = 16;
inline constexpr int kFragmentPairs = 4;  // of a lane in an accumulator: eight elements

using Accumulators = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kFragmentEdge, kFragmentEdge,
                                            kFragmentEdge, float>;

template <class Use, class T, class Layout>
using Operand = nvcuda::wmma::fragment<Use, kFragmentEdge, kFragmentEdge, kFragmentEdge, T, Layout>;

/// load_matrix_sync() for an operand in shared memory. nvcc makes ldmatrix of it for half, but four
/// loads, and a transposition, for bfloat16: so the bits are loaded as if they were half. TensorMap
/// checks that the elements of either kind of fragment are at the same places.
template <class Use, class Layout>
__device__ inline void load_operand(Operand<Use, __nv_bfloat16, Layout>& operand,
                                    const __nv_bfloat16* from, unsigned stride) {
  Operand<Use, __half, Layout> bits;
  nvcuda::wmma::load_matrix_sync(bits, reinterpret_cast<const __half*>(from), stride);
#pragma unroll
  for (int e = 0; e < operand.num_elements; ++e) {
    operand.x[e] = __ushort_as_bfloat16(__half_as_ushort(bits.x[e]));
  }
}

/// Which elements of an accumulator a lane holds. CUDA does not say, only that all accumulators
/// agree: so this is read off one that was loaded with the places of its own elements. They are in
/// pairs of neighbours on all GPUs so far, and operands have theirs where load_operand() puts them;
/// where that is not so, the kernel ends in an error.
class TensorMap {
 public:
  /// `scratch` is shared memory of the warp, as large as a fragment; free again after a barrier.
  __device__ explicit TensorMap(float* scratch) {
    for (int i = lane_of_warp(); i < kFragmentEdge * kFragmentEdge; i += 32) {
      scratch[i] = static_cast<float>(i);
    }
    // barrier kept: loads of fragments bring the lanes together, but order no memory on a GPU
    __syncwarp();
    Accumulators places;
    nvcuda::wmma::load_matrix_sync(places, scratch, kFragmentEdge, nvcuda::wmma::mem_row_major);
#pragma unroll
    for (int pair = 0; pair < kFragmentPairs; ++pair) {
      const int place = static_cast<int>(places.x[2 * pair]);
      if (place % 2 != 0 || static_cast<int>(places.x[2 * pair + 1]) != place + 1) __trap();
      row_[pair] = place / kFragmentEdge;
      column_[pair] = place % kFragmentEdge;
    }
    __syncwarp();
    auto* const numbers = reinterpret_cast<__nv_bfloat16*>(scratch);
    for (int i = lane_of_warp(); i < kFragmentEdge * kFragmentEdge; i += 32) {
      numbers[i] = __float2bfloat16(static_cast<float>(i));  // exact
    }
    // barrier kept: as above
    __syncwarp();
    check_operand<nvcuda::wmma::matrix_a, nvcuda::wmma::row_major>(numbers);
    check_operand<nvcuda::wmma::matrix_b, nvcuda::wmma::row_major>(numbers);
    check_operand<nvcuda::wmma::matrix_b, nvcuda::wmma::col_major>(numbers);
  }
  /// Of a tile of several fragments below each other.
  __device__ int row(int slot) const {
    return slot / kFragmentPairs * kFragmentEdge + row_[slot % kFragmentPairs];
  }
  /// Of the first of a pair, within a fragment.
  __device__ int column(int pair) const { return column_[pair]; }

 private:
  template <class Use, class Layout>
  static __device__ void check_operand(const __nv_bfloat16* numbers) {
    Operand<Use, __nv_bfloat16, Layout> expected, operand;
    nvcuda::wmma::load_matrix_sync(expected, numbers, kFragmentEdge);
    load_operand(operand, numbers, kFragmentEdge);
#pragma unroll
    for (int e = 0; e < expected.num_elements; ++e) {
      if (widen(operand.x[e]) != widen(expected.x[e])) __trap();
    }
  }

  int row_[kFragmentPairs], column_[kFragmentPairs];
};

/// kRows x kColumns floats in fragments. A slot is one of the elements of a lane in a fragment;
/// more than one slot may be of the same row.
template <int kRows, int kColumns>
struct TensorTile {
  using A = float;
  using T = __nv_bfloat16;
  using Map = TensorMap;
  static constexpr int kEdge = kFragmentEdge;
  static constexpr int kPairs = kFragmentPairs;
  static constexpr int kFragmentRows = kRows / kEdge, kFragmentColumns = kColumns / kEdge;
  static constexpr int kSlots = kFragmentRows * kPairs;
  static constexpr int kScratch = kEdge * kEdge;

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
        for (int e = 0; e < 2 * kPairs; ++e) {
          body(i * kPairs + e / 2, j * kEdge + map.column(e / 2) + e % 2, part[i][j].x[e],
               others.part[i][j].x[e]...);
        }
      }
    }
  }

  template <int kStride>
  __device__ void store(const Map& map, T* to) const {
#pragma unroll
    for (int i = 0; i < kFragmentRows; ++i) {
#pragma unroll
      for (int j = 0; j < kFragmentColumns; ++j) {
#pragma unroll
        for (int pair = 0; pair < kPairs; ++pair) {
          T* const place = to + map.row(i * kPairs + pair) * kStride + j * kEdge + map.column(pair);
          *reinterpret_cast<__nv_bfloat162*>(place) =
              __floats2bfloat162_rn(part[i][j].x[2 * pair], part[i][j].x[2 * pair + 1]);
        }
      }
    }
  }

  template <class Combine>
  static __device__ void reduce_rows(const Map& map, const A (&values)[kSlots], A* scratch,
                                     A* of_row, const Combine& combine) {
    constexpr int kPairsOfRow = kEdge / 2;
    // Two lanes combine the pairs of a row.
    const int row = lane_of_warp() % kEdge, half = lane_of_warp() / kEdge;
#pragma unroll
    for (int i = 0; i < kFragmentRows; ++i) {
      // barrier kept: the shuffle below comes after all lanes' reads, but orders no memory on a GPU
      if (i > 0) __syncwarp();
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        scratch[map.row(pair) * kPairsOfRow + map.column(pair) / 2] = values[i * kPairs + pair];
      }
      __syncwarp();
      const Pack<A> pairs = load_pack(scratch + row * kPairsOfRow + half * (kPairsOfRow / 2));
      A result =
          combine(combine(pairs.value[0], pairs.value[1]), combine(pairs.value[2], pairs.value[3]));
      result = combine(result, __shfl_xor_sync(kAllLanes, result, kEdge));
      if (half == 0) of_row[i * kEdge + row] = result;
    }
  }

 private:
  template <int kDepth, int kLeftStride, int kRightStride, class RightLayout>
  __device__ void multiply(const T* left, const T* right) {
    constexpr bool kTransposed = std::is_same_v<RightLayout, nvcuda::wmma::col_major>;
#pragma unroll
    for (int k = 0; k < kDepth; k += kEdge) {
      Operand<nvcuda::wmma::matrix_a, T, nvcuda::wmma::row_major> a[kFragmentRows];
#pragma unroll
      for (int i = 0; i < kFragmentRows; ++i) {
        load_operand(a[i], left + i * kEdge * kLeftStride + k, kLeftStride);
      }
#pragma unroll
      for (int j = 0; j < kFragmentColumns; ++j) {
        Operand<nvcuda::wmma::matrix_b, T, RightLayout> b;
        load_operand(
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
