#include "tensor/kernels/attention_block.h"
#include "tensor/kernels/attention_panels.h"
#include "tensor/kernels/cached_attention.h"
#include "tensor/parallel_for.h"
#include "tensor/round_up.h"

namespace shardgrad::cpu {
namespace {

// At most kAttentionBlock neighbouring queries of one head, in the dtype of the sums.
template <class T>
struct QueryBlock {
  const T *query, *key, *value;
  std::int64_t query_leading, key_leading;  // the latter of key and value
  std::int64_t queries, keys;  // the last query sees all keys, the one before all but one
  std::int64_t head_dim;
  T* out;
  std::int64_t out_leading;
};

// `scores` has room for [queries, keys].
template <class T>
void attend(const QueryBlock<T>& block, T* scores) {
  const std::int64_t queries = block.queries, keys = block.keys, dim = block.head_dim;
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(dim)));
  Panel<T> weights = panel(scores, 0, queries, keys, keys);
  weights.noalias() = scale * panel(block.query, 0, queries, dim, block.query_leading) *
                      panel(block.key, 0, keys, dim, block.key_leading).transpose();
  for (std::int64_t row = 0; row < queries; ++row) {
    T* const score = scores + row * keys;
    const std::int64_t visible = keys - queries + row + 1;
    const T largest = lane_max<T>(0, visible, score[0], [&](std::int64_t n) { return score[n]; });
#pragma omp simd
    for (std::int64_t n = 0; n < visible; ++n) score[n] = exp(score[n] - largest);
    const T inverse =
        T(1) / static_cast<T>(long_sum<T>(visible, [&](std::int64_t n) { return score[n]; }));
#pragma omp simd
    for (std::int64_t n = 0; n < visible; ++n) score[n] *= inverse;
    std::fill(score + visible, score + keys, T(0));
  }
  panel(block.out, 0, queries, dim, block.out_leading).noalias() =
      weights * panel(block.value, 0, keys, dim, block.key_leading);
}

// Memory for one block of queries.
template <class T>
struct BlockScratch {
  BlockScratch(std::int64_t queries, std::int64_t keys, std::int64_t /*head_dim*/)
      : memory(Tensor::empty({queries * keys}, DTypeOf<T>::value)), scores(memory.data<T>()) {}

  Tensor memory;
  T* scores;
};

// bfloat16 is computed in float32 copies of the rows, and rounded once.
template <>
struct BlockScratch<BFloat16> {
  BlockScratch(std::int64_t queries, std::int64_t keys, std::int64_t head_dim)
      : floats(queries, keys, head_dim),
        memory(Tensor::empty({2 * (queries + keys), head_dim})),
        query(memory.data<float>()),
        out(query + queries * head_dim),
        key(out + queries * head_dim),
        value(key + keys * head_dim) {}

  BlockScratch<float> floats;
  Tensor memory;
  float *query, *out, *key, *value;
};

template <class T>
void attend(const QueryBlock<T>& block, BlockScratch<T>& scratch) {
  attend(block, scratch.scores);
}

void attend(const QueryBlock<BFloat16>& block, BlockScratch<BFloat16>& scratch) {
  const std::int64_t dim = block.head_dim;
  widen_rows(block.query, block.query_leading, block.queries, dim, scratch.query);
  widen_rows(block.key, block.key_leading, block.keys, dim, scratch.key);
  widen_rows(block.value, block.key_leading, block.keys, dim, scratch.value);
  attend(QueryBlock<float>{scratch.query, scratch.key, scratch.value, dim, dim, block.queries,
                           block.keys, dim, scratch.out, dim},
         scratch.floats.scores);
  round_rows(scratch.out, block.queries, dim, block.out, block.out_leading);
}

}  // namespace

void cached_attention(const Tensor& qkv, const Tensor& cache, const CachedAttentionShape& shape,
                      Tensor& out) {
  dispatch_floating(qkv.dtype(), "cached_attention", [&](auto type) {
    using T = decltype(type);
    const std::int64_t width = shape.heads * shape.head_dim;
    const std::int64_t most_queries = std::min(kAttentionBlock, shape.queries);
    const std::int64_t blocks = parts_of(shape.queries, kAttentionBlock);
    const T* const input = qkv.data<T>();
    const T* const cached = cache.data<T>();
    T* const output = out.data<T>();
    // A thread is worth some ten thousand multiplications.
    const std::int64_t grain =
        1 + (1 << 14) / std::max<std::int64_t>(1, most_queries * shape.length * shape.head_dim);
    parallel_for(shape.batch * shape.heads * blocks, grain,
                 [&](std::int64_t begin, std::int64_t end) {
                   BlockScratch<T> scratch(most_queries, shape.length, shape.head_dim);
                   for (std::int64_t index = begin; index < end; ++index) {
                     const std::int64_t first = index % blocks * kAttentionBlock;
                     const std::int64_t head = index / blocks % shape.heads;
                     const std::int64_t sequence = index / blocks / shape.heads;
                     const std::int64_t row = sequence * shape.queries + first;
                     const std::int64_t column = head * shape.head_dim;
                     const T* const key = cached + sequence * shape.capacity * 2 * width + column;
                     QueryBlock<T> block;
                     block.query = input + row * 3 * width + column;
                     block.key = key;
                     block.value = key + width;
                     block.query_leading = 3 * width;
                     block.key_leading = 2 * width;
                     block.queries = std::min(kAttentionBlock, shape.queries - first);
                     block.keys = shape.length - shape.queries + first + block.queries;
                     block.head_dim = shape.head_dim;
                     block.out = output + row * width + column;
                     block.out_leading = width;
                     attend(block, scratch);
                   }
                 });
  });
}

}  // namespace shardgrad::cpu
