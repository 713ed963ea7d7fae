#include "tensor/cuda/attention.cuh"

namespace shardgrad::cuda {
namespace {

// What fits the shared memory (see ForwardShared) and the registers.
template <class T, int kDim>
struct ForwardTilesOf;
template <int kDim>
struct ForwardTilesOf<__nv_bfloat16, kDim> {
  using type = AttentionTiles<__nv_bfloat16, kDim, 4, kDim <= 128 ? 32 : 16, kDim <= 64 ? 64 : 32,
                              kDim <= 128 ? 2 : 1>;
};
template <int kDim>
struct ForwardTilesOf<float, kDim> {
  using type = AttentionTiles<float, kDim, 4, kDim <= 128 ? 16 : 8, kDim <= 128 ? 32 : 16>;
};
template <int kDim>
struct ForwardTilesOf<double, kDim> {
  using type = AttentionTiles<double, kDim, 4, kDim <= 128 ? 8 : 4,
                              kDim <= 64    ? 32
                              : kDim <= 128 ? 16
                                            : 8>;
};

template <class Tiles>
struct ForwardShared {
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  static constexpr int kWeights = Tiles::kStripe * Tiles::kWeightStride;
  struct Stage {
    alignas(32) T key[Tiles::kVisited * Tiles::kStride];
    alignas(32) T value[Tiles::kVisited * Tiles::kStride];
    unsigned kept[Tiles::kOwned * kWordsOf<Tiles::kVisited>];
    bool visible[Tiles::kVisited];
  };
  alignas(32) T query[Tiles::kOwned * Tiles::kStride];
  Stage stage[Tiles::kStages];
  alignas(32) T weights[Tiles::kThreads / 32][kWeights];
  alignas(32) A scratch[Tiles::kThreads / 32][Tiles::Scores::kScratch];
  A of_row[Tiles::kOwned], factor[Tiles::kOwned];
};

// The online softmax of a warp's stripe of queries. Scores are in units of log 2, scale_log2 times
// the products. Lane r keeps the maximum of row r; the sums of the probabilities are kept apart for
// each slot until the end.
template <class Tiles>
class OnlineSoftmax {
 public:
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  using Map = typename Tiles::Map;
  using Scores = typename Tiles::Scores;
  using Sums = typename Tiles::Sums;

  __device__ OnlineSoftmax(const Map& map, A* scratch, A* of_row, A* factor, A scale_log2)
      : map_(map), scratch_(scratch), of_row_(of_row), factor_(factor), scale_(scale_log2) {
#pragma unroll
    for (int slot = 0; slot < Tiles::kSlots; ++slot) sums_[slot] = A(0);
  }

  // Turns products into probabilities relative to each row's maximum so far, and brings `weighted`
  // to that maximum.
  __device__ void add(Scores& scores, Sums& weighted) {
    A largest[Tiles::kSlots];
#pragma unroll
    for (int slot = 0; slot < Tiles::kSlots; ++slot) largest[slot] = -A(INFINITY);
    scores.for_each(map_,
                    [&](int slot, int, A score) { largest[slot] = max(largest[slot], score); });
    Scores::reduce_rows(map_, largest, scratch_, of_row_, [](A a, A b) { return max(a, b); });
    __syncwarp();
    const int lane = lane_of_warp();
    if (lane < Tiles::kStripe) {
      const A new_max = max(max_, scale_ * of_row_[lane]);
      // Without a visible key so far, all exponents are -infinity whatever the shift.
      const A shift = new_max == -A(INFINITY) ? A(0) : new_max;
      factor_[lane] = exp2(max_ - shift);
      of_row_[lane] = shift;
      max_ = new_max;
    }
    __syncwarp();
    A shift[Tiles::kSlots], factor[Tiles::kSlots];
#pragma unroll
    for (int slot = 0; slot < Tiles::kSlots; ++slot) {
      shift[slot] = of_row_[map_.row(slot)];
      factor[slot] = factor_[map_.row(slot)];
      sums_[slot] *= factor[slot];
    }
    scores.for_each(map_, [&](int slot, int, A& score) {
      score = exp2(fma(score, scale_, -shift[slot]));
      sums_[slot] += score;
    });
    weighted.for_each(map_, [&](int slot, int, A& sum) { sum *= factor[slot]; });
  }

  // weighted *= multiplier / sum of the row; lane r returns the log-sum-exp of row r.
  __device__ A finish(Sums& weighted, A multiplier) {
    Scores::reduce_rows(map_, sums_, scratch_, of_row_, [](A a, A b) { return a + b; });
    __syncwarp();
    const int lane = lane_of_warp();
    A log_sum_exp = A(0);
    if (lane < Tiles::kStripe) {
      const A sum = of_row_[lane];
      factor_[lane] = sum == A(0) ? A(0) : multiplier / sum;  // no visible key: zeros
      log_sum_exp = max_ * static_cast<A>(kLn2) + log(sum);
    }
    __syncwarp();
    weighted.for_each(map_, [&](int slot, int, A& sum) { sum *= factor_[map_.row(slot)]; });
    return log_sum_exp;
  }

 private:
  const Map& map_;
  A* const scratch_;
  A* const of_row_;
  A* const factor_;
  const A scale_;
  A max_ = -A(INFINITY);
  A sums_[Tiles::kSlots];
};

// A block for each kOwned queries of each head. Those with the most keys come first, lest they be
// what the GPU waits for in the end.
template <class Tiles>
__global__ void __launch_bounds__(Tiles::kThreads)
    forward_kernel(AttentionShape shape, bool packed, const typename Tiles::T* qkv,
                   const std::int32_t* key_padding, DeviceMask<typename Tiles::A> dropout,
                   typename Tiles::A scale_log2, typename Tiles::T* out,
                   typename Tiles::A* log_sum_exp) {
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  auto& shared = *dynamic_shared<ForwardShared<Tiles>>();
  const std::int64_t heads = shape.batch * shape.heads;
  const HeadPlace place(shape, blockIdx.x % heads);
  const std::int64_t first = (gridDim.x / heads - 1 - blockIdx.x / heads) * Tiles::kOwned;
  const std::int64_t end = min(first + Tiles::kOwned, shape.tokens);
  const int warp = static_cast<int>(threadIdx.x) / 32, row = warp * Tiles::kStripe;
  const std::int64_t first_of_warp = first + row;
  const std::int32_t* const padding =
      key_padding == nullptr ? nullptr : key_padding + place.padding;
  T* const stripe = shared.query + row * Tiles::kStride;
  T* const weights = shared.weights[warp];

  const typename Tiles::Map map(shared.scratch[warp]);
  typename Tiles::Sums weighted;
  weighted.clear();
  OnlineSoftmax<Tiles> softmax(map, shared.scratch[warp], shared.of_row + row, shared.factor + row,
                               scale_log2);
  load_rows<Tiles, Tiles::kOwned>(shape, packed, qkv + place.query, place.leading, first,
                                  shared.query);
  const auto load = [&](std::int64_t first_key, int stage) {
    auto& to = shared.stage[stage];
    load_rows<Tiles, Tiles::kVisited>(shape, packed, qkv + place.key, place.leading, first_key,
                                      to.key);
    load_rows<Tiles, Tiles::kVisited>(shape, packed, qkv + place.value, place.leading, first_key,
                                      to.value);
    load_padding<Tiles, Tiles::kVisited>(shape, padding, first_key, to.visible);
    if (dropout.threshold != 0) {
      draw_mask<Tiles, Tiles::kOwned, Tiles::kVisited>(dropout, shape, place, first, first_key,
                                                       to.kept);
    }
  };
  const auto visit = [&](std::int64_t first_key, int stage) {
    const auto& visited = shared.stage[stage];
    const Hidden hidden = hidden_among<Tiles::kVisited>(visited.visible);
    if (first_key >= first_of_warp + Tiles::kStripe || hidden == Hidden::All) return;
    typename Tiles::Scores scores;
    scores.clear();
    scores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, stripe, visited.key);
    if (hidden != Hidden::None || first_key + Tiles::kVisited > first_of_warp + 1) {
      const int diagonal = static_cast<int>(first_of_warp - first_key);
      scores.for_each(map, [&](int slot, int column, A& score) {
        if (column > diagonal + map.row(slot) || !visited.visible[column]) score = -A(INFINITY);
      });
    }
    softmax.add(scores, weighted);
    if (dropout.threshold != 0) {
      scores.for_each(map, [&](int slot, int column, A& probability) {
        if (!was_kept<Tiles::kVisited>(visited.kept, row + map.row(slot), column)) {
          probability = A(0);
        }
      });
    }
    scores.template store<Tiles::kWeightStride>(map, weights);
    __syncwarp();
    weighted.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(
        map, weights, visited.value);
  };
  for_each_tile<Tiles>(0, end, load, visit);
  const A of_lane = softmax.finish(weighted, dropout.scale);
  const std::int64_t query = first_of_warp + lane_of_warp();
  if (lane_of_warp() < Tiles::kStripe && query < shape.tokens) {
    log_sum_exp[place.statistics + query] = of_lane;
  }
  store_sums<Tiles>(shape, packed, map, weighted, stripe, out + place.out, place.width,
                    first_of_warp);
}

}  // namespace

void attention_forward(const Tensor& qkv, const Tensor& key_padding_mask,
                       const AttentionShape& shape, const DropoutMask& dropout, Tensor& out,
                       Tensor& log_sum_exp) {
  dispatch_element(qkv.dtype(), "attention_forward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    dispatch_head_dim(shape.head_dim, "attention_forward", [&](auto dim) {
      using Tiles = typename ForwardTilesOf<T, decltype(dim)::value>::type;
      static_assert(sizeof(ForwardShared<Tiles>) <= kMostSharedBytes);
      const bool packed = fits_packs<T>(shape.head_dim, device_data<T>(qkv), device_data<T>(out));
      const std::int64_t heads = shape.batch * shape.heads;
      launch("attention_forward",
             static_cast<unsigned>(heads) * blocks_for(shape.tokens, Tiles::kOwned),
             Tiles::kThreads, sizeof(ForwardShared<Tiles>), forward_kernel<Tiles>, shape, packed,
             device_data<T>(qkv), padding_of(key_padding_mask), DeviceMask<A>(dropout),
             static_cast<A>(scale_of(shape) * kLog2E), device_data<T>(out),
             device_data<A>(log_sum_exp));
    });
  });
}

}  // namespace shardgrad::cuda
