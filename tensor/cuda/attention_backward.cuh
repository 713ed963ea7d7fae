// What the kernels of attention's backward pass share: their tiles, their shared memory, and the
// gradient of the softmax.
#pragma once

#include "tensor/cuda/attention.cuh"

namespace shardgrad::cuda {

/// What fits the shared memory (see KeyShared and QueryShared) and the registers: two tiles of
/// scores, and two of sums.
template <class T, int kDim>
struct BackwardTilesOf;
template <int kDim>
struct BackwardTilesOf<__nv_bfloat16, kDim> {
  using type =
      AttentionTiles<__nv_bfloat16, kDim, 4, 16, kDim <= 128 ? 32 : 16, kDim <= 128 ? 2 : 1>;
};
template <int kDim>
struct BackwardTilesOf<float, kDim> {
  using type = AttentionTiles<float, kDim, 4,
                              kDim <= 64    ? 16
                              : kDim <= 128 ? 8
                                            : 4,
                              kDim <= 128 ? 32 : 16>;
};
template <int kDim>
struct BackwardTilesOf<double, kDim> {
  using type =
      AttentionTiles<double, kDim, kDim <= 128 ? 4 : 2, kDim <= 64 ? 8 : 4, kDim <= 128 ? 16 : 8>;
};

/// Blocks that share a multiprocessor: so many that nvcc has to do with 168 registers for a thread
/// where these suffice.
template <class Tiles>
inline constexpr int kBackwardBlocks = Tiles::kTensorCores&& Tiles::kDim <= 64 ? 3 : 1;

/// What both kernels keep in shared memory. The owned rows are those of key and value, or of query
/// and dout; the visited ones are the other two.
template <class Tiles>
struct BackwardShared {
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  static constexpr int kWeights = Tiles::kStripe * Tiles::kWeightStride;
  alignas(32) T owned[2][Tiles::kOwned * Tiles::kStride];
  alignas(32) T visited[Tiles::kStages][2][Tiles::kVisited * Tiles::kStride];
  alignas(32) T weights[Tiles::kThreads / 32][kWeights];
  alignas(32) A scratch[Tiles::kThreads / 32][Tiles::Scores::kScratch];
};

/// Of the kernel that owns keys.
template <class Tiles>
struct KeyShared : BackwardShared<Tiles> {
  struct Queries {
    typename Tiles::A log_sum_exp[Tiles::kVisited], correlation[Tiles::kVisited];
    unsigned kept[Tiles::kVisited * kWordsOf<Tiles::kOwned>];
  };
  Queries queries[Tiles::kStages];
  bool visible[Tiles::kOwned];
};

/// Of the kernel that owns queries.
template <class Tiles>
struct QueryShared : BackwardShared<Tiles> {
  struct Keys {
    unsigned kept[Tiles::kOwned * kWordsOf<Tiles::kVisited>];
    bool visible[Tiles::kVisited];
  };
  Keys keys[Tiles::kStages];
};

/// The arguments of both kernels.
template <class Tiles>
struct BackwardInputs {
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  AttentionShape shape;
  bool packed;
  DeviceMask<A> dropout;
  A scale;

  /// The log-sum-exp of a query in units of log 2. Of a query that sees no key, and after the last
  /// query, it is infinite: then all probabilities are zero.
  __device__ A log2_sum_exp(const A* log_sum_exp, std::int64_t query) const {
    if (query >= shape.tokens || log_sum_exp[query] == -A(INFINITY)) return A(INFINITY);
    return log_sum_exp[query] * static_cast<A>(kLog2E);
  }
  __device__ A scale_log2() const { return scale * static_cast<A>(kLog2E); }
};

/// One element. In: score = the product of query and key, dscore = that of dout and value. Out: the
/// probability as it met the value but for dropout's scale, and d loss / d score but for the scale.
template <class A>
__device__ inline void softmax_backward(A& score, A& dscore, A scale_log2, A log2_sum_exp,
                                        A correlation, bool kept, A dropout_scale) {
  const A probability = exp2(fma(score, scale_log2, -log2_sum_exp));
  dscore = probability * ((kept ? dscore * dropout_scale : A(0)) - correlation);
  score = kept ? probability : A(0);
}

}  // namespace shardgrad::cuda
