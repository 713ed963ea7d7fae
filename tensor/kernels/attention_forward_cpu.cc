#include "tensor/kernels/attention_block.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// One head of one sequence.
template <class T>
struct ForwardHead {
  const T *query, *key, *value;
  std::int64_t leading;  // of query, key and value
  T* out;
  std::int64_t out_leading;
  Accumulator<T>* log_sum_exp;
  const std::int32_t* key_padding;
  std::int64_t tokens, head_dim, mask_element;
  const DropoutMask* dropout;
};

template <class T>
struct ForwardScratch {
  ForwardScratch(std::int64_t /*tokens*/, std::int64_t head_dim)
      : memory(
            Tensor::empty({kAttentionBlock * (kAttentionBlock + head_dim + 3)}, DTypeOf<T>::value)),
        scores(memory.data<T>()),
        weighted(scores + kAttentionBlock * kAttentionBlock),
        row_max(weighted + kAttentionBlock * head_dim),
        row_sum(row_max + kAttentionBlock),
        factors(row_sum + kAttentionBlock) {}

  Tensor memory;
  T *scores, *weighted, *row_max, *row_sum, *factors;
};

// Turns a row of scores into probabilities relative to the row's maximum so far, and brings what
// the row has summed up to that maximum.
template <class T>
[[gnu::flatten]] void online_softmax(T* scores, std::int64_t keys, T& row_max, T& row_sum,
                                     T* weighted, std::int64_t head_dim) {
  const T new_max = lane_max<T>(0, keys, row_max, [&](std::int64_t key) { return scores[key]; });
  if (new_max == -std::numeric_limits<T>::infinity()) {  // no visible key yet
    std::fill(scores, scores + keys, T(0));
    return;
  }
#pragma omp simd
  for (std::int64_t key = 0; key < keys; ++key) scores[key] = exp(scores[key] - new_max);
  const T correction = exp(row_max - new_max);
  const T sum = static_cast<T>(lane_sum<T>(0, keys, [&](std::int64_t key) { return scores[key]; }));
  row_sum = multiply_add(row_sum, correction, sum);
  row_max = new_max;
  if (correction == T(1)) return;
#pragma omp simd
  for (std::int64_t column = 0; column < head_dim; ++column) weighted[column] *= correction;
}

template <class T>
void forward_queries(const ForwardHead<T>& head, ForwardScratch<T>& scratch, std::int64_t first,
                     std::int64_t rows) {
  const std::int64_t dim = head.head_dim;
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(dim)));
  Panel<T> weighted = panel(scratch.weighted, 0, rows, dim, dim);
  weighted.setZero();
  std::fill(scratch.row_max, scratch.row_max + rows, -std::numeric_limits<T>::infinity());
  std::fill(scratch.row_sum, scratch.row_sum + rows, T(0));
  const auto queries = panel(head.query, first, rows, dim, head.leading);
  for (std::int64_t first_key = 0; first_key < first + rows; first_key += kAttentionBlock) {
    const std::int64_t keys = std::min(kAttentionBlock, first + rows - first_key);
    Panel<T> scores = panel(scratch.scores, 0, rows, keys, kAttentionBlock);
    scores.noalias() =
        scale * queries * panel(head.key, first_key, keys, dim, head.leading).transpose();
    const BlockMask mask{head.key_padding, first, first_key, keys};
    for (std::int64_t row = 0; row < rows; ++row) {
      T* const row_scores = scratch.scores + row * kAttentionBlock;
      mask.hide(row, row_scores);
      online_softmax(row_scores, keys, scratch.row_max[row], scratch.row_sum[row],
                     scratch.weighted + row * dim, dim);
      if (head.dropout->threshold() == 0) continue;
      dropout_factors(*head.dropout, head.mask_element + (first + row) * head.tokens + first_key,
                      keys, scratch.factors);
      for (std::int64_t key = 0; key < keys; ++key) row_scores[key] *= scratch.factors[key];
    }
    weighted.noalias() += scores * panel(head.value, first_key, keys, dim, head.leading);
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const T sum = scratch.row_sum[row];
    const T inverse = sum == T(0) ? T(0) : T(1) / sum;  // no visible key: zeros
    T* const out = head.out + (first + row) * head.out_leading;
    for (std::int64_t column = 0; column < dim; ++column) {
      out[column] = scratch.weighted[row * dim + column] * inverse;
    }
    head.log_sum_exp[first + row] = scratch.row_max[row] + std::log(sum);
  }
}

template <class T>
void forward_head(const ForwardHead<T>& head, ForwardScratch<T>& scratch) {
  for (std::int64_t first = 0; first < head.tokens; first += kAttentionBlock) {
    forward_queries(head, scratch, first, std::min(kAttentionBlock, head.tokens - first));
  }
}

// A head of bfloat16 is computed in float32 copies of its rows, and rounded once.
template <>
struct ForwardScratch<BFloat16> {
  ForwardScratch(std::int64_t tokens, std::int64_t head_dim)
      : blocks(tokens, head_dim), rows(Tensor::empty({4, tokens, head_dim})) {}

  ForwardScratch<float> blocks;
  Tensor rows;
};

void forward_head(const ForwardHead<BFloat16>& head, ForwardScratch<BFloat16>& scratch) {
  const std::int64_t tokens = head.tokens, dim = head.head_dim;
  float* const query = scratch.rows.data<float>();
  float *const key = query + tokens * dim, *const value = key + tokens * dim;
  float* const out = value + tokens * dim;
  widen_rows(head.query, head.leading, tokens, dim, query);
  widen_rows(head.key, head.leading, tokens, dim, key);
  widen_rows(head.value, head.leading, tokens, dim, value);
  forward_head(ForwardHead<float>{query, key, value, dim, out, dim, head.log_sum_exp,
                                  head.key_padding, tokens, dim, head.mask_element, head.dropout},
               scratch.blocks);
  round_rows(out, tokens, dim, head.out, head.out_leading);
}

}  // namespace

void attention_forward(const Tensor& qkv, const Tensor& key_padding_mask,
                       const AttentionShape& shape, const DropoutMask& dropout, Tensor& out,
                       Tensor& log_sum_exp) {
  dispatch_floating(qkv.dtype(), "attention_forward", [&](auto type) {
    using T = decltype(type);
    const std::int64_t width = shape.heads * shape.head_dim;
    const T* const input = qkv.data<T>();
    T* const output = out.data<T>();
    Accumulator<T>* const sums = log_sum_exp.data<Accumulator<T>>();
    const std::int32_t* const padding =
        key_padding_mask.defined() ? key_padding_mask.data<std::int32_t>() : nullptr;
    parallel_for(shape.batch * shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
      ForwardScratch<T> scratch(shape.tokens, shape.head_dim);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t sequence = index / shape.heads, head = index % shape.heads;
        const std::int64_t row = sequence * shape.tokens, column = head * shape.head_dim;
        const T* const query = input + row * 3 * width + column;
        const ForwardHead<T> one{query,
                                 query + width,
                                 query + 2 * width,
                                 3 * width,
                                 output + row * width + column,
                                 width,
                                 sums + index * shape.tokens,
                                 padding ? padding + row : nullptr,
                                 shape.tokens,
                                 shape.head_dim,
                                 first_mask_element(shape, sequence, head),
                                 &dropout};
        forward_head(one, scratch);
      }
    });
  });
}

}  // namespace shardgrad::cpu
