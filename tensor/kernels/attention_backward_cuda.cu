// The gradients of attention without float atomics, hence with the same bits in every run: one
// kernel owns keys and sums over the queries that see them, another owns queries and sums over the
// keys that they see. Both recompute the probabilities from the log-sum-exp.
#include "tensor/cuda/attention_backward.cuh"

namespace shardgrad::cuda {
namespace {

constexpr int kCorrelationThreads = 256;

// correlation[b, h, t] = sum over the head's columns of out dout, which is the sum over keys of
// probability * d probability: what the softmax's gradient subtracts. Neighbouring lanes share a
// row; which of them takes a column does not depend on the alignment.
template <class T, int kLanes>
__global__ void correlation_kernel(AttentionShape shape, bool packed, const T* out, const T* dout,
                                   Accumulator<T>* correlation) {
  using A = Accumulator<T>;
  constexpr int kSize = Pack<T>::kSize;
  const std::int64_t index =
      static_cast<std::int64_t>(blockIdx.x) * (kCorrelationThreads / kLanes) + threadIdx.x / kLanes;
  const bool inside = index < shape.batch * shape.heads * shape.tokens;
  const T* const row = out + index * shape.head_dim;
  const T* const upstream = dout + index * shape.head_dim;
  A sum = A(0);
  const std::int64_t end = inside ? shape.head_dim : 0;
  for (std::int64_t n = threadIdx.x % kLanes * kSize; n < end; n += kLanes * kSize) {
    if (packed) {
      const Pack<T> a = load_pack(row + n), b = load_pack(upstream + n);
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum = fma(widen(a.value[i]), widen(b.value[i]), sum);
    } else {
      for (std::int64_t i = n; i < min(n + kSize, end); ++i) {
        sum = fma(widen(row[i]), widen(upstream[i]), sum);
      }
    }
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  }
  if (!inside || threadIdx.x % kLanes != 0) return;
  const std::int64_t token = index / shape.heads, head = index % shape.heads;
  const std::int64_t sequence = token / shape.tokens;
  correlation[(sequence * shape.heads + head) * shape.tokens + token % shape.tokens] = sum;
}

// dK and dV: a block for each kOwned keys of each head, the first of which are seen by the most
// queries.
template <class Tiles>
__global__ void __launch_bounds__(Tiles::kThreads, kBackwardBlocks<Tiles>)
    key_kernel(BackwardInputs<Tiles> inputs, const typename Tiles::T* qkv,
               const std::int32_t* key_padding, const typename Tiles::A* log_sum_exp,
               const typename Tiles::A* correlation, const typename Tiles::T* dout,
               typename Tiles::T* dqkv) {
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  auto& shared = *dynamic_shared<KeyShared<Tiles>>();
  const AttentionShape& shape = inputs.shape;
  const std::int64_t heads = shape.batch * shape.heads;
  const HeadPlace place(shape, blockIdx.x % heads);
  const std::int64_t first = blockIdx.x / heads * Tiles::kOwned;
  const int warp = static_cast<int>(threadIdx.x) / 32, row = warp * Tiles::kStripe;
  const std::int64_t first_of_warp = first + row;
  T* const keys = shared.owned[0] + row * Tiles::kStride;
  T* const values = shared.owned[1] + row * Tiles::kStride;
  T* const weights = shared.weights[warp];

  const typename Tiles::Map map(shared.scratch[warp]);
  typename Tiles::Sums dkey, dvalue;
  dkey.clear();
  dvalue.clear();
  load_rows<Tiles, Tiles::kOwned>(shape, inputs.packed, qkv + place.key, place.leading, first,
                                  shared.owned[0]);
  load_rows<Tiles, Tiles::kOwned>(shape, inputs.packed, qkv + place.value, place.leading, first,
                                  shared.owned[1]);
  load_padding<Tiles, Tiles::kOwned>(
      shape, key_padding == nullptr ? nullptr : key_padding + place.padding, first, shared.visible);
  const auto load = [&](std::int64_t first_query, int stage) {
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, qkv + place.query, place.leading,
                                      first_query, shared.visited[stage][0]);
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, dout + place.out, place.width,
                                      first_query, shared.visited[stage][1]);
    auto& to = shared.queries[stage];
    for (int i = static_cast<int>(threadIdx.x); i < Tiles::kVisited; i += Tiles::kThreads) {
      const std::int64_t query = first_query + i;
      to.log_sum_exp[i] = inputs.log2_sum_exp(log_sum_exp + place.statistics, query);
      to.correlation[i] = query < shape.tokens ? correlation[place.statistics + query] : A(0);
    }
    if (inputs.dropout.threshold != 0) {
      draw_mask<Tiles, Tiles::kVisited, Tiles::kOwned>(inputs.dropout, shape, place, first_query,
                                                       first, to.kept);
    }
  };
  const auto visit = [&](std::int64_t first_query, int stage) {
    const Hidden hidden = hidden_among<Tiles::kStripe>(shared.visible + row);
    if (first_query + Tiles::kVisited <= first_of_warp || hidden == Hidden::All) return;
    const T *const query = shared.visited[stage][0], *const upstream = shared.visited[stage][1];
    const auto& queries = shared.queries[stage];
    typename Tiles::Scores scores, dscores;
    scores.clear();
    dscores.clear();
    scores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, keys, query);
    dscores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, values, upstream);
    const int diagonal = static_cast<int>(first_of_warp - first_query);
    const bool masked = hidden != Hidden::None || diagonal + Tiles::kStripe > 1;
    scores.for_each(
        map,
        [&](int slot, int column, A& score, A& dscore) {
          const int key = map.row(slot);
          if (masked && (column < diagonal + key || !shared.visible[row + key])) {
            score = -A(INFINITY);
          }
          const bool kept = inputs.dropout.threshold == 0 ||
                            was_kept<Tiles::kOwned>(queries.kept, column, row + key);
          softmax_backward(score, dscore, inputs.scale_log2(), queries.log_sum_exp[column],
                           queries.correlation[column], kept, inputs.dropout.scale);
        },
        dscores);
    scores.template store<Tiles::kWeightStride>(map, weights);
    __syncwarp();
    dvalue.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(
        map, weights, upstream);
    __syncwarp();
    dscores.template store<Tiles::kWeightStride>(map, weights);
    __syncwarp();
    dkey.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(map, weights,
                                                                                      query);
  };
  for_each_tile<Tiles>(first, shape.tokens, load, visit);
  dkey.for_each(map, [&](int, int, A& sum) { sum *= inputs.scale; });
  dvalue.for_each(map, [&](int, int, A& sum) { sum *= inputs.dropout.scale; });
  store_sums<Tiles>(shape, inputs.packed, map, dkey, keys, dqkv + place.key, place.leading,
                    first_of_warp);
  store_sums<Tiles>(shape, inputs.packed, map, dvalue, values, dqkv + place.value, place.leading,
                    first_of_warp);
}

// dQ: a block for each kOwned queries of each head, those that see the most keys first.
template <class Tiles>
__global__ void __launch_bounds__(Tiles::kThreads, kBackwardBlocks<Tiles>)
    query_kernel(BackwardInputs<Tiles> inputs, const typename Tiles::T* qkv,
                 const std::int32_t* key_padding, const typename Tiles::A* log_sum_exp,
                 const typename Tiles::A* correlation, const typename Tiles::T* dout,
                 typename Tiles::T* dqkv) {
  using T = typename Tiles::T;
  using A = typename Tiles::A;
  auto& shared = *dynamic_shared<QueryShared<Tiles>>();
  const AttentionShape& shape = inputs.shape;
  const std::int64_t heads = shape.batch * shape.heads;
  const HeadPlace place(shape, blockIdx.x % heads);
  const std::int64_t first = (gridDim.x / heads - 1 - blockIdx.x / heads) * Tiles::kOwned;
  const std::int64_t end = min(first + Tiles::kOwned, shape.tokens);
  const int warp = static_cast<int>(threadIdx.x) / 32, row = warp * Tiles::kStripe;
  const std::int64_t first_of_warp = first + row;
  const std::int32_t* const padding =
      key_padding == nullptr ? nullptr : key_padding + place.padding;
  T* const queries = shared.owned[0] + row * Tiles::kStride;
  T* const douts = shared.owned[1] + row * Tiles::kStride;
  T* const weights = shared.weights[warp];

  const typename Tiles::Map map(shared.scratch[warp]);
  typename Tiles::Sums dquery;
  dquery.clear();
  load_rows<Tiles, Tiles::kOwned>(shape, inputs.packed, qkv + place.query, place.leading, first,
                                  shared.owned[0]);
  load_rows<Tiles, Tiles::kOwned>(shape, inputs.packed, dout + place.out, place.width, first,
                                  shared.owned[1]);
  A log2_sum_exp[Tiles::kSlots], correlations[Tiles::kSlots];
#pragma unroll
  for (int slot = 0; slot < Tiles::kSlots; ++slot) {
    const std::int64_t query = first_of_warp + map.row(slot);
    log2_sum_exp[slot] = inputs.log2_sum_exp(log_sum_exp + place.statistics, query);
    correlations[slot] = query < shape.tokens ? correlation[place.statistics + query] : A(0);
  }
  const auto load = [&](std::int64_t first_key, int stage) {
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, qkv + place.key, place.leading,
                                      first_key, shared.visited[stage][0]);
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, qkv + place.value, place.leading,
                                      first_key, shared.visited[stage][1]);
    auto& to = shared.keys[stage];
    load_padding<Tiles, Tiles::kVisited>(shape, padding, first_key, to.visible);
    if (inputs.dropout.threshold != 0) {
      draw_mask<Tiles, Tiles::kOwned, Tiles::kVisited>(inputs.dropout, shape, place, first,
                                                       first_key, to.kept);
    }
  };
  const auto visit = [&](std::int64_t first_key, int stage) {
    const T *const key = shared.visited[stage][0], *const value = shared.visited[stage][1];
    const auto& keys = shared.keys[stage];
    const Hidden hidden = hidden_among<Tiles::kVisited>(keys.visible);
    if (first_key >= first_of_warp + Tiles::kStripe || hidden == Hidden::All) return;
    typename Tiles::Scores scores, dscores;
    scores.clear();
    dscores.clear();
    scores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, queries, key);
    dscores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, douts, value);
    const int diagonal = static_cast<int>(first_of_warp - first_key);
    const bool masked = hidden != Hidden::None || Tiles::kVisited > diagonal + 1;
    scores.for_each(
        map,
        [&](int slot, int column, A& score, A& dscore) {
          const int query = map.row(slot);
          if (masked && (column > diagonal + query || !keys.visible[column])) {
            score = -A(INFINITY);
          }
          const bool kept = inputs.dropout.threshold == 0 ||
                            was_kept<Tiles::kVisited>(keys.kept, row + query, column);
          softmax_backward(score, dscore, inputs.scale_log2(), log2_sum_exp[slot],
                           correlations[slot], kept, inputs.dropout.scale);
        },
        dscores);
    dscores.template store<Tiles::kWeightStride>(map, weights);
    __syncwarp();
    dquery.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(
        map, weights, key);
  };
  for_each_tile<Tiles>(0, end, load, visit);
  dquery.for_each(map, [&](int, int, A& sum) { sum *= inputs.scale; });
  store_sums<Tiles>(shape, inputs.packed, map, dquery, queries, dqkv + place.query, place.leading,
                    first_of_warp);
}

}  // namespace

void attention_backward(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& dout, const AttentionShape& shape,
                        const DropoutMask& dropout, Tensor& dqkv) {
  Tensor correlation = Tensor::empty(log_sum_exp.shape(), log_sum_exp.dtype(), qkv.device());
  dispatch_element(qkv.dtype(), "attention_backward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    dispatch_head_dim(shape.head_dim, "attention_backward", [&](auto dim) {
      using Tiles = typename BackwardTilesOf<T, decltype(dim)::value>::type;
      static_assert(sizeof(KeyShared<Tiles>) <= kMostSharedBytes);
      static_assert(sizeof(QueryShared<Tiles>) <= kMostSharedBytes);
      const bool packed = fits_packs<T>(shape.head_dim, device_data<T>(qkv), device_data<T>(out),
                                        device_data<T>(dout), device_data<T>(dqkv));
      constexpr int kPacksOfRow = Tiles::kDim / Pack<T>::kSize;
      constexpr int kLanes = kPacksOfRow < 32 ? kPacksOfRow : 32;
      launch("attention_backward_correlation",
             blocks_for(correlation.numel(), kCorrelationThreads / kLanes), kCorrelationThreads, 0,
             correlation_kernel<T, kLanes>, shape, packed, device_data<T>(out),
             device_data<T>(dout), device_data<A>(correlation));
      const BackwardInputs<Tiles> inputs{shape, packed, DeviceMask<A>(dropout),
                                         static_cast<A>(scale_of(shape))};
      const unsigned grid = static_cast<unsigned>(shape.batch * shape.heads) *
                            blocks_for(shape.tokens, Tiles::kOwned);
      const auto run = [&](const char* name, std::size_t shared_bytes, auto kernel) {
        launch(name, grid, Tiles::kThreads, shared_bytes, kernel, inputs, device_data<T>(qkv),
               padding_of(key_padding_mask), device_data<A>(log_sum_exp),
               device_data<A>(correlation), device_data<T>(dout), device_data<T>(dqkv));
      };
      run("attention_backward_key", sizeof(KeyShared<Tiles>), key_kernel<Tiles>);
      run("attention_backward_query", sizeof(QueryShared<Tiles>), query_kernel<Tiles>);
    });
  });
}

}  // namespace shardgrad::cuda
