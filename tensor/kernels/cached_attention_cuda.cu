#include "tensor/cuda/attention.cuh"
#include "tensor/kernels/cached_attention.h"

namespace shardgrad::cuda {
namespace {

// A block of threads computes one query of one head. Its warps share the keys out among them, some
// at a time, each warp with an online softmax of its own; what they have summed up is brought to a
// common maximum in the end. One query gives little to do, so what counts is that many keys are on
// their way from memory at any time.
constexpr int kWarps = 8;
constexpr int kKeysAtOnce = 4;

// The values of a head's columns lane, lane + 32, ...: those that a lane works on.
template <class T, int kDim>
__device__ inline void load_columns(const T* row, int head_dim,
                                    Accumulator<T> (&columns)[kDim / 32]) {
#pragma unroll
  for (int i = 0; i < kDim / 32; ++i) {
    const int column = lane_of_warp() + 32 * i;
    columns[i] = column < head_dim ? widen(row[column]) : Accumulator<T>(0);
  }
}

// What a warp has summed up, relative to the largest of its scores.
template <class A, int kDim>
struct PartialSoftmax {
  A largest = -A(INFINITY), sum = A(0);
  A weighted[kDim / 32] = {};

  __device__ void scale(A factor) {
    sum *= factor;
#pragma unroll
    for (int i = 0; i < kDim / 32; ++i) weighted[i] *= factor;
  }
};

// Adds keys [first, first + kKeysAtOnce) that are below `end`, of which there is at least one.
template <class T, int kDim>
__device__ inline void add_keys(const Accumulator<T> (&query)[kDim / 32], const T* cached,
                                std::int64_t leading, std::int64_t width, int head_dim,
                                std::int64_t first, std::int64_t end,
                                PartialSoftmax<Accumulator<T>, kDim>& softmax) {
  using A = Accumulator<T>;
  A scores[kKeysAtOnce], values[kKeysAtOnce][kDim / 32];
#pragma unroll
  for (int n = 0; n < kKeysAtOnce; ++n) {
    const std::int64_t key = min(first + n, end - 1);
    A columns[kDim / 32];
    load_columns<T, kDim>(cached + key * leading, head_dim, columns);
    load_columns<T, kDim>(cached + key * leading + width, head_dim, values[n]);
    scores[n] = A(0);
#pragma unroll
    for (int i = 0; i < kDim / 32; ++i) scores[n] = fma(query[i], columns[i], scores[n]);
  }
  A largest = softmax.largest;
#pragma unroll
  for (int n = 0; n < kKeysAtOnce; ++n) {
    scores[n] = first + n < end ? warp_sum(scores[n]) : -A(INFINITY);
    largest = max_or_nan(largest, scores[n]);
  }
  softmax.scale(exp2(softmax.largest - largest));
  softmax.largest = largest;
#pragma unroll
  for (int n = 0; n < kKeysAtOnce; ++n) {
    const A weight = exp2(scores[n] - largest);
    softmax.sum += weight;
#pragma unroll
    for (int i = 0; i < kDim / 32; ++i) {
      softmax.weighted[i] = fma(weight, values[n][i], softmax.weighted[i]);
    }
  }
}

template <class T, int kDim>
__global__ void __launch_bounds__(32 * kWarps)
    cached_attention_kernel(CachedAttentionShape shape, const T* qkv, const T* cache,
                            Accumulator<T> scale_log2, T* out) {
  using A = Accumulator<T>;
  __shared__ A largest_of_warp[kWarps];
  __shared__ A sum_of_warp[kWarps];
  __shared__ A weighted_of_warp[kWarps][kDim];
  const std::int64_t width = shape.heads * shape.head_dim;
  const int head_dim = static_cast<int>(shape.head_dim);
  const std::int64_t head = blockIdx.x % shape.heads;
  const std::int64_t row = blockIdx.x / shape.heads;  // of [B*Q]
  const std::int64_t sequence = row / shape.queries;
  const std::int64_t end = shape.length - shape.queries + row % shape.queries + 1;
  const T* const cached = cache + sequence * shape.capacity * 2 * width + head * head_dim;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = lane_of_warp();

  A query[kDim / 32];
  load_columns<T, kDim>(qkv + row * 3 * width + head * head_dim, head_dim, query);
#pragma unroll
  for (int i = 0; i < kDim / 32; ++i) query[i] *= scale_log2;
  PartialSoftmax<A, kDim> softmax;
  for (std::int64_t first = warp * kKeysAtOnce; first < end; first += kWarps * kKeysAtOnce) {
    add_keys<T, kDim>(query, cached, 2 * width, width, head_dim, first, end, softmax);
  }
  if (lane == 0) {
    largest_of_warp[warp] = softmax.largest;
    sum_of_warp[warp] = softmax.sum;
  }
#pragma unroll
  for (int i = 0; i < kDim / 32; ++i) weighted_of_warp[warp][lane + 32 * i] = softmax.weighted[i];
  __syncthreads();

  A largest = largest_of_warp[0];  // the first warp has always had a key
  for (int w = 1; w < kWarps; ++w) largest = max_or_nan(largest, largest_of_warp[w]);
  A sum = A(0);
  for (int w = 0; w < kWarps; ++w) sum += sum_of_warp[w] * exp2(largest_of_warp[w] - largest);
  for (int column = static_cast<int>(threadIdx.x); column < head_dim; column += 32 * kWarps) {
    A weighted = A(0);
    for (int w = 0; w < kWarps; ++w) {
      weighted += weighted_of_warp[w][column] * exp2(largest_of_warp[w] - largest);
    }
    out[row * width + head * head_dim + column] = narrow<T>(weighted / sum);
  }
}

}  // namespace

void cached_attention(const Tensor& qkv, const Tensor& cache, const CachedAttentionShape& shape,
                      Tensor& out) {
  dispatch_element(qkv.dtype(), "cached_attention", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    dispatch_head_dim(shape.head_dim, "cached_attention", [&](auto dim) {
      const double scale = kLog2E / std::sqrt(static_cast<double>(shape.head_dim));
      launch("cached_attention", static_cast<unsigned>(shape.batch * shape.queries * shape.heads),
             32 * kWarps, 0, cached_attention_kernel<T, decltype(dim)::value>, shape,
             device_data<T>(qkv), device_data<T>(cache), static_cast<A>(scale),
             device_data<T>(out));
    });
  });
}

}  // namespace shardgrad::cuda
