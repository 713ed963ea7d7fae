// Stand-in for CUDA's header of this name: nvcuda::wmma for m16n16k16, bf16 and half.
//
// A GPU does not say which lane holds which element, and neither may a kernel assume it. Here lanes
// r and r + 16 hold row r of A and column r of B. Accumulators are where they are on GPUs from
// compute capability 8.0 on: no lane has a whole row, so that what lanes have to exchange is
// exchanged.
#pragma once

#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
  static_assert(M == 16 && N == 16 && K == 16, "simt emulates m16n16k16 only");
  static constexpr int num_elements = std::is_same_v<Use, accumulator> ? 8 : 16;
  using element_type = T;
  T x[num_elements];
};

template <class Use, int M, int N, int K, class T, class Layout>
void fill_fragment(fragment<Use, M, N, K, T, Layout>& target, const T& value) {
  for (T& element : target.x) element = value;
}

namespace detail {

inline int accumulator_row(int lane, int i) { return lane / 4 + i / 2 % 2 * 8; }
inline int accumulator_column(int lane, int i) { return lane % 4 * 2 + i % 2 + i / 4 * 8; }

inline void check_matrix(const void* pointer, unsigned stride, size_t element_bytes,
                         const char* file, int line) {
  if (reinterpret_cast<uintptr_t>(pointer) % 32 != 0) {
    simt::fail("wmma: %p is not aligned to 32 bytes, at %s:%d", pointer, file, line);
  }
  if (stride * element_bytes % 16 != 0) {
    simt::fail("wmma: a stride of %u elements is not a multiple of 16 bytes, at %s:%d", stride,
               file, line);
  }
}

/// All lanes take part in a load or store, whose elements they then move one by one.
inline void meet(const char* file, int line) {
  simt::warp_operation(~0u, simt::WarpOperation::Load, nullptr, nullptr, file, line);
}

template <class D, class AB, class C>
struct MmaPayload {
  D* d;
  const AB* a;
  const AB* b;
  const C* c;
};

template <class D, class AB, class C>
SIMT_WARP_WIDE void multiply(void* const payload[32], unsigned present) {
  using Payload = MmaPayload<D, AB, C>;
  if (present != ~0u) simt::fail("mma_sync: only lanes %08x of the warp take part", present);
  float a[16][16], b[16][16], d[16][16];
  for (int r = 0; r < 16; ++r) {
    const auto* lane = static_cast<const Payload*>(payload[r]);
    for (int i = 0; i < 16; ++i) {
      // Out of the lane's memory first: the conversion is not SIMT_WARP_WIDE.
      const AB of_a = lane->a[i], of_b = lane->b[i];
      a[r][i] = of_a;
      b[i][r] = of_b;
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) {
      const C of_c = static_cast<const Payload*>(payload[lane])->c[i];
      d[accumulator_row(lane, i)][accumulator_column(lane, i)] = of_c;
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 16; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) {
      static_cast<const Payload*>(payload[lane])->d[i] =
          static_cast<D>(d[accumulator_row(lane, i)][accumulator_column(lane, i)]);
    }
  }
}

}  // namespace detail

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& target, const T* from, unsigned stride,
                      SIMT_PLACE) {
  detail::check_matrix(from, stride, sizeof(T), file_, line_);
  detail::meet(file_, line_);
  const size_t line = simt::lane_id() % 16;
  constexpr bool contiguous = std::is_same_v<Layout, row_major> == std::is_same_v<Use, matrix_a>;
  for (size_t i = 0; i < 16; ++i) {
    target.x[i] = contiguous ? from[line * stride + i] : from[i * stride + line];
  }
}

template <class T>
void load_matrix_sync(fragment<accumulator, 16, 16, 16, T>& target, const T* from, unsigned stride,
                      layout_t layout, SIMT_PLACE) {
  detail::check_matrix(from, stride, sizeof(T), file_, line_);
  detail::meet(file_, line_);
  for (int i = 0; i < 8; ++i) {
    const size_t row = detail::accumulator_row(simt::lane_id(), i);
    const size_t column = detail::accumulator_column(simt::lane_id(), i);
    target.x[i] =
        layout == mem_row_major ? from[row * stride + column] : from[column * stride + row];
  }
}

template <class T>
void store_matrix_sync(T* to, const fragment<accumulator, 16, 16, 16, T>& source, unsigned stride,
                       layout_t layout, SIMT_PLACE) {
  detail::check_matrix(to, stride, sizeof(T), file_, line_);
  detail::meet(file_, line_);
  for (int i = 0; i < 8; ++i) {
    const size_t row = detail::accumulator_row(simt::lane_id(), i);
    const size_t column = detail::accumulator_column(simt::lane_id(), i);
    (layout == mem_row_major ? to[row * stride + column] : to[column * stride + row]) = source.x[i];
  }
}

/// d = a b + c, in float.
template <class D, class AB, class LayoutA, class LayoutB, class C>
void mma_sync(fragment<accumulator, 16, 16, 16, D>& d,
              const fragment<matrix_a, 16, 16, 16, AB, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, AB, LayoutB>& b,
              const fragment<accumulator, 16, 16, 16, C>& c, SIMT_PLACE) {
  detail::MmaPayload<D, AB, C> mine{d.x, a.x, b.x, c.x};
  simt::warp_operation(~0u, simt::WarpOperation::Mma, &mine, detail::multiply<D, AB, C>, file_,
                       line_);
}

}  // namespace nvcuda::wmma
