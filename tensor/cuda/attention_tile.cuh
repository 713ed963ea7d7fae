// A warp's tile of a matrix, held in registers and multiplied on the CUDA cores: float and double.
// attention_tensor_tile.cuh has the same interface for bfloat16 on the tensor cores.
#pragma once

#include "tensor/cuda/device_math.cuh"

namespace shardgrad::cuda {

/// The lane of the calling thread, in a block of one dimension.
__device__ inline int lane_of_warp() { return static_cast<int>(threadIdx.x % 32); }

/// Which rows of a CoreTile a lane holds.
struct CoreMap {
  template <class A>
  __device__ explicit CoreMap(A*) {}
  __device__ int row(int slot) const { return 4 * slot + lane_of_warp() / 8; }
};

/// kRows x kColumns values of A, dealt out to the 32 lanes as 4 x 8. The rows that a lane has a
/// part of are its slots: what it keeps for each row (a maximum, a factor) is an array of kSlots. A
/// lane has runs of kRun neighbouring columns: 1 for tiles that come of multiply_transposed(), a
/// pack for those that come of multiply_add(), so that either reads shared memory without bank
/// conflicts.
template <class A, int kRows, int kColumns, int kRun>
struct CoreTile {
  static constexpr int kSlots = kRows / 4;
  static constexpr int kOfRow = kColumns / 8;  // elements of one slot
  static constexpr int kScratch = 1;           // elements that the map and reduce_rows() need: none
  static constexpr int kSize = Pack<A>::kSize;

  using Map = CoreMap;

  A value[kSlots][kOfRow];

  static __device__ int column(int j) {
    return (j / kRun * 8 + lane_of_warp() % 8) * kRun + j % kRun;
  }

  __device__ void clear() {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int j = 0; j < kOfRow; ++j) value[slot][j] = A(0);
    }
  }

  /// tile += left right^T, where left [kRows, kDepth] and right [kColumns, kDepth] lie in shared
  /// memory in rows that are kStride apart.
  template <int kDepth, int kStride>
  __device__ void multiply_transposed(const Map& map, const A* left, const A* right) {
#pragma unroll 4
    for (int k = 0; k < kDepth; k += kSize) {
      Pack<A> a[kSlots];
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        a[slot] = load_pack(left + map.row(slot) * kStride + k);
      }
#pragma unroll
      for (int j = 0; j < kOfRow; ++j) {
        const Pack<A> b = load_pack(right + column(j) * kStride + k);
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
          for (int i = 0; i < kSize; ++i) {
            value[slot][j] = fma(a[slot].value[i], b.value[i], value[slot][j]);
          }
        }
      }
    }
  }

  /// tile += left right, where left [kRows, kDepth] and right [kDepth, kColumns] lie in shared
  /// memory in rows that are kLeftStride and kRightStride apart.
  template <int kDepth, int kLeftStride, int kRightStride>
  __device__ void multiply_add(const Map& map, const A* left, const A* right) {
    static_assert(kRun == kSize, "a run is read as one pack");
#pragma unroll 2
    for (int k = 0; k < kDepth; k += kSize) {
      Pack<A> a[kSlots];
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        a[slot] = load_pack(left + map.row(slot) * kLeftStride + k);
      }
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
#pragma unroll
        for (int j = 0; j < kOfRow; j += kRun) {
          const Pack<A> b = load_pack(right + (k + i) * kRightStride + column(j));
#pragma unroll
          for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
            for (int r = 0; r < kRun; ++r) {
              value[slot][j + r] = fma(a[slot].value[i], b.value[r], value[slot][j + r]);
            }
          }
        }
      }
    }
  }

  /// Calls body(slot, column, value of this tile, values of `others` at the same place...) for the
  /// lane's elements.
  template <class Body, class... Others>
  __device__ void for_each(const Map&, const Body& body, Others&... others) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int j = 0; j < kOfRow; ++j) {
        body(slot, column(j), value[slot][j], others.value[slot][j]...);
      }
    }
  }

  /// Writes the tile to shared memory, in rows that are kStride apart.
  template <int kStride>
  __device__ void store(const Map& map, A* to) const {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int j = 0; j < kOfRow; ++j) to[map.row(slot) * kStride + column(j)] = value[slot][j];
    }
  }

  /// of_row[row] (shared memory) = combine() over the lanes of what they hold for the row in
  /// `values`. All lanes call it, and synchronise before they read.
  template <class Combine>
  static __device__ void reduce_rows(const Map& map, const A (&values)[kSlots], A*, A* of_row,
                                     const Combine& combine) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      A result = values[slot];
#pragma unroll
      for (int offset = 4; offset > 0; offset /= 2) {
        result = combine(result, __shfl_xor_sync(kAllLanes, result, offset));
      }
      if (lane_of_warp() % 8 == 0) of_row[map.row(slot)] = result;
    }
  }
};

}  // namespace shardgrad::cuda
