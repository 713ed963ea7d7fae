// The gradients of attention without float atomics, hence with the same bits in every run: one
// kernel owns keys and sums over the queries that see them, another owns queries and sums over the
// keys that they see. Both recompute the probabilities from the log-sum-exp.
#include "tensor/cuda/attention_backward.cuh"

namespace shardgrad::cuda {
namespace {

// correlation[b, h, t] = sum over the head's columns of out dout, which is the sum over keys of
// probability * d probability: what the softmax's gradient subtracts. A warp for each.
template <class T>
__global__ void correlation_kernel(AttentionShape shape, const T* out, const T* dout,
                                   Accumulator<T>* correlation) {
  using A = Accumulator<T>;
  const std::int64_t index =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  if (index >= shape.batch * shape.heads * shape.tokens) return;  // the whole warp
  const std::int64_t token = index / shape.heads, head = index % shape.heads;
  A sum = A(0);
  for (std::int64_t n = lane_of_warp(); n < shape.head_dim; n += 32) {
    sum = fma(widen(out[index * shape.head_dim + n]), widen(dout[index * shape.head_dim + n]), sum);
  }
  sum = warp_sum(sum);
  const std::int64_t sequence = token / shape.tokens;
  if (lane_of_warp() == 0) {
    correlation[(sequence * shape.heads + head) * shape.tokens + token % shape.tokens] = sum;
  }
}

// dK and dV: a block for each kOwned keys of each head, the first of which are seen by the most
// queries; blockIdx.y is the part of the columns.
template <class Tiles>
__global__ void __launch_bounds__(Tiles::kThreads)
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
  const int first_column = static_cast<int>(blockIdx.y) * Tiles::kPart;
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
  for (std::int64_t first_query = first; first_query < shape.tokens;
       first_query += Tiles::kVisited) {
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, qkv + place.query, place.leading,
                                      first_query, shared.visited[0]);
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, dout + place.out, place.width,
                                      first_query, shared.visited[1]);
    for (int i = static_cast<int>(threadIdx.x); i < Tiles::kVisited; i += Tiles::kThreads) {
      const std::int64_t query = first_query + i;
      shared.log_sum_exp[i] = inputs.log2_sum_exp(log_sum_exp + place.statistics, query);
      shared.correlation[i] = query < shape.tokens ? correlation[place.statistics + query] : A(0);
    }
    if (inputs.dropout.threshold != 0) {
      draw_mask<Tiles, Tiles::kVisited, Tiles::kOwned>(inputs.dropout, shape, place, first_query,
                                                       first, shared.kept);
    }
    __syncthreads();
    if (first_query + Tiles::kVisited > first_of_warp) {  // else none of them sees the warp's keys
      typename Tiles::Scores scores, dscores;
      scores.clear();
      dscores.clear();
      scores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, keys,
                                                                       shared.visited[0]);
      dscores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, values,
                                                                        shared.visited[1]);
      const int diagonal = static_cast<int>(first_of_warp - first_query);
      const bool masked = key_padding != nullptr || diagonal + Tiles::kStripe > 1;
      scores.for_each(
          map,
          [&](int slot, int query, A& score, A& dscore) {
            const int key = map.row(slot);
            if (masked && (query < diagonal + key || !shared.visible[row + key])) {
              score = -A(INFINITY);
            }
            const bool kept = inputs.dropout.threshold == 0 ||
                              was_kept<Tiles::kOwned>(shared.kept, query, row + key);
            softmax_backward(score, dscore, inputs.scale_log2(), shared.log_sum_exp[query],
                             shared.correlation[query], kept, inputs.dropout.scale);
          },
          dscores);
      scores.template store<Tiles::kWeightStride>(map, weights);
      __syncwarp();
      dvalue.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(
          map, weights, shared.visited[1] + first_column);
      __syncwarp();
      dscores.template store<Tiles::kWeightStride>(map, weights);
      __syncwarp();
      dkey.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(
          map, weights, shared.visited[0] + first_column);
    }
    __syncthreads();
  }
  dkey.for_each(map, [&](int, int, A& sum) { sum *= inputs.scale; });
  dvalue.for_each(map, [&](int, int, A& sum) { sum *= inputs.dropout.scale; });
  store_sums<Tiles>(shape, inputs.packed, map, dkey, keys, dqkv + place.key, place.leading,
                    first_of_warp, first_column);
  store_sums<Tiles>(shape, inputs.packed, map, dvalue, values, dqkv + place.value, place.leading,
                    first_of_warp, first_column);
}

// dQ: a block for each kOwned queries of each head, those that see the most keys first; blockIdx.y
// is the part of the columns.
template <class Tiles>
__global__ void __launch_bounds__(Tiles::kThreads)
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
  const int first_column = static_cast<int>(blockIdx.y) * Tiles::kPart;
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
  for (std::int64_t first_key = 0; first_key < end; first_key += Tiles::kVisited) {
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, qkv + place.key, place.leading,
                                      first_key, shared.visited[0]);
    load_rows<Tiles, Tiles::kVisited>(shape, inputs.packed, qkv + place.value, place.leading,
                                      first_key, shared.visited[1]);
    load_padding<Tiles, Tiles::kVisited>(shape, padding, first_key, shared.visible);
    if (inputs.dropout.threshold != 0) {
      draw_mask<Tiles, Tiles::kOwned, Tiles::kVisited>(inputs.dropout, shape, place, first,
                                                       first_key, shared.kept);
    }
    __syncthreads();
    if (first_key < first_of_warp + Tiles::kStripe) {  // else none of the warp's queries sees them
      typename Tiles::Scores scores, dscores;
      scores.clear();
      dscores.clear();
      scores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, queries,
                                                                       shared.visited[0]);
      dscores.template multiply_transposed<Tiles::kDim, Tiles::kStride>(map, douts,
                                                                        shared.visited[1]);
      const int diagonal = static_cast<int>(first_of_warp - first_key);
      const bool masked = padding != nullptr || Tiles::kVisited > diagonal + 1;
      scores.for_each(
          map,
          [&](int slot, int key, A& score, A& dscore) {
            const int query = map.row(slot);
            if (masked && (key > diagonal + query || !shared.visible[key])) {
              score = -A(INFINITY);
            }
            const bool kept = inputs.dropout.threshold == 0 ||
                              was_kept<Tiles::kVisited>(shared.kept, row + query, key);
            softmax_backward(score, dscore, inputs.scale_log2(), log2_sum_exp[slot],
                             correlations[slot], kept, inputs.dropout.scale);
          },
          dscores);
      dscores.template store<Tiles::kWeightStride>(map, weights);
      __syncwarp();
      dquery.template multiply_add<Tiles::kVisited, Tiles::kWeightStride, Tiles::kStride>(
          map, weights, shared.visited[0] + first_column);
    }
    __syncthreads();
  }
  dquery.for_each(map, [&](int, int, A& sum) { sum *= inputs.scale; });
  store_sums<Tiles>(shape, inputs.packed, map, dquery, queries, dqkv + place.query, place.leading,
                    first_of_warp, first_column);
}

}  // namespace

void attention_backward(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& dout, const AttentionShape& shape,
                        const DropoutMask& dropout, Tensor& dqkv) {
  Tensor correlation = Tensor::empty(log_sum_exp.shape(), log_sum_exp.dtype(), qkv.device());
  dispatch_element(qkv.dtype(), "attention_backward", [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    constexpr int kWarps = 8;
    launch("attention_backward_correlation", blocks_for(correlation.numel(), kWarps), 32 * kWarps,
           0, correlation_kernel<T>, shape, device_data<T>(out), device_data<T>(dout),
           device_data<A>(correlation));
    dispatch_head_dim(shape.head_dim, "attention_backward", [&](auto dim) {
      using Tiles = typename BackwardTilesOf<T, decltype(dim)::value>::type;
      static_assert(sizeof(KeyShared<Tiles>) <= kMostSharedBytes);
      static_assert(sizeof(QueryShared<Tiles>) <= kMostSharedBytes);
      const bool packed = fits_packs<T>(shape.head_dim, device_data<T>(qkv), device_data<T>(dout),
                                        device_data<T>(dqkv));
      const BackwardInputs<Tiles> inputs{shape, packed, DeviceMask<A>(dropout),
                                         static_cast<A>(scale_of(shape))};
      const dim3 grid(static_cast<unsigned>(shape.batch * shape.heads) *
                          blocks_for(shape.tokens, Tiles::kOwned),
                      Tiles::kParts);
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
