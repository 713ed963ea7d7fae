#include "tensor/kernels/attention_block.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// One head of one sequence. The gradients lie as query, key and value do.
template <class T>
struct BackwardHead {
  const T *query, *key, *value;
  T *dquery, *dkey, *dvalue;
  std::int64_t leading;
  const T *out, *dout;
  std::int64_t out_leading;
  const Accumulator<T>* log_sum_exp;
  const std::int32_t* key_padding;
  std::int64_t tokens, head_dim, mask_element;
  const DropoutMask* dropout;
};

template <class T>
struct BackwardScratch {
  BackwardScratch(std::int64_t tokens, std::int64_t /*head_dim*/)
      : memory(Tensor::empty({2 * kAttentionBlock * kAttentionBlock + kAttentionBlock + tokens},
                             DTypeOf<T>::value)),
        probabilities(memory.data<T>()),
        dscores(probabilities + kAttentionBlock * kAttentionBlock),
        factors(dscores + kAttentionBlock * kAttentionBlock),
        correlation(factors + kAttentionBlock) {}

  Tensor memory;
  // correlation[i] = sum over the head's columns of dout * out, which is the sum over keys of
  // probability * d probability: what the softmax's gradient subtracts.
  T *probabilities, *dscores, *factors, *correlation;
};

// One row of a block. In: scores, and dscores holding d loss / d (dropped) probability. Out: the
// probabilities as they met the values, and dscores = d loss / d (q . k).
template <class T>
[[gnu::flatten]] void softmax_backward_row(T* scores, T* dscores, const T* factors,
                                           std::int64_t keys, T log_sum_exp, T correlation,
                                           T scale) {
  if (log_sum_exp == -std::numeric_limits<T>::infinity()) {  // this query sees no key
    std::fill(scores, scores + keys, T(0));
    std::fill(dscores, dscores + keys, T(0));
    return;
  }
#pragma omp simd
  for (std::int64_t key = 0; key < keys; ++key) scores[key] = exp(scores[key] - log_sum_exp);
  if (factors == nullptr) {
#pragma omp simd
    for (std::int64_t key = 0; key < keys; ++key) {
      dscores[key] = scores[key] * (dscores[key] - correlation) * scale;
    }
  } else {
#pragma omp simd
    for (std::int64_t key = 0; key < keys; ++key) {
      dscores[key] = scores[key] * (dscores[key] * factors[key] - correlation) * scale;
      scores[key] *= factors[key];
    }
  }
}

template <class T>
void backward_block(const BackwardHead<T>& head, BackwardScratch<T>& scratch, std::int64_t first,
                    std::int64_t rows, std::int64_t first_key, std::int64_t keys) {
  const std::int64_t dim = head.head_dim;
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(dim)));
  const auto queries = panel(head.query, first, rows, dim, head.leading);
  const auto key_panel = panel(head.key, first_key, keys, dim, head.leading);
  const auto dout = panel(head.dout, first, rows, dim, head.out_leading);
  Panel<T> probabilities = panel(scratch.probabilities, 0, rows, keys, kAttentionBlock);
  Panel<T> dscores = panel(scratch.dscores, 0, rows, keys, kAttentionBlock);
  probabilities.noalias() = scale * queries * key_panel.transpose();
  dscores.noalias() = dout * panel(head.value, first_key, keys, dim, head.leading).transpose();
  const BlockMask mask{head.key_padding, first, first_key, keys};
  for (std::int64_t row = 0; row < rows; ++row) {
    T* const row_scores = scratch.probabilities + row * kAttentionBlock;
    mask.hide(row, row_scores);
    const bool drops = head.dropout->threshold() != 0;
    if (drops) {
      dropout_factors(*head.dropout, head.mask_element + (first + row) * head.tokens + first_key,
                      keys, scratch.factors);
    }
    softmax_backward_row(row_scores, scratch.dscores + row * kAttentionBlock,
                         drops ? scratch.factors : nullptr, keys, head.log_sum_exp[first + row],
                         scratch.correlation[first + row], scale);
  }
  panel(head.dvalue, first_key, keys, dim, head.leading).noalias() +=
      probabilities.transpose() * dout;
  panel(head.dquery, first, rows, dim, head.leading).noalias() += dscores * key_panel;
  panel(head.dkey, first_key, keys, dim, head.leading).noalias() += dscores.transpose() * queries;
}

template <class T>
void backward_head(const BackwardHead<T>& head, BackwardScratch<T>& scratch) {
  for (std::int64_t token = 0; token < head.tokens; ++token) {
    const T* const out = head.out + token * head.out_leading;
    const T* const dout = head.dout + token * head.out_leading;
    scratch.correlation[token] = static_cast<T>(lane_sum<T>(
        0, head.head_dim, [&](std::int64_t column) { return out[column] * dout[column]; }));
  }
  for (T* gradient : {head.dquery, head.dkey, head.dvalue}) {
    panel(gradient, 0, head.tokens, head.head_dim, head.leading).setZero();
  }
  for (std::int64_t first_key = 0; first_key < head.tokens; first_key += kAttentionBlock) {
    // Queries before the block's first key see none of it.
    for (std::int64_t first = first_key; first < head.tokens; first += kAttentionBlock) {
      const std::int64_t rows = std::min(kAttentionBlock, head.tokens - first);
      const std::int64_t keys = std::min(kAttentionBlock, first + rows - first_key);
      backward_block(head, scratch, first, rows, first_key, keys);
    }
  }
}

// A head of bfloat16 is computed in float32 copies of its rows, and rounded once.
template <>
struct BackwardScratch<BFloat16> {
  BackwardScratch(std::int64_t tokens, std::int64_t head_dim)
      : blocks(tokens, head_dim), rows(Tensor::empty({8, tokens, head_dim})) {}

  BackwardScratch<float> blocks;
  Tensor rows;
};

void backward_head(const BackwardHead<BFloat16>& head, BackwardScratch<BFloat16>& scratch) {
  const std::int64_t tokens = head.tokens, dim = head.head_dim;
  float* const query = scratch.rows.data<float>();
  const auto part = [&](int index) { return query + index * tokens * dim; };
  float *const key = part(1), *const value = part(2), *const out = part(3), *const dout = part(4);
  float *const dquery = part(5), *const dkey = part(6), *const dvalue = part(7);
  widen_rows(head.query, head.leading, tokens, dim, query);
  widen_rows(head.key, head.leading, tokens, dim, key);
  widen_rows(head.value, head.leading, tokens, dim, value);
  widen_rows(head.out, head.out_leading, tokens, dim, out);
  widen_rows(head.dout, head.out_leading, tokens, dim, dout);
  backward_head(BackwardHead<float>{query, key, value, dquery, dkey, dvalue, dim, out, dout, dim,
                                    head.log_sum_exp, head.key_padding, tokens, dim,
                                    head.mask_element, head.dropout},
                scratch.blocks);
  round_rows(dquery, tokens, dim, head.dquery, head.leading);
  round_rows(dkey, tokens, dim, head.dkey, head.leading);
  round_rows(dvalue, tokens, dim, head.dvalue, head.leading);
}

}  // namespace

void attention_backward(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& dout, const AttentionShape& shape,
                        const DropoutMask& dropout, Tensor& dqkv) {
  dispatch_floating(qkv.dtype(), "attention_backward", [&](auto type) {
    using T = decltype(type);
    const std::int64_t width = shape.heads * shape.head_dim;
    const T *input = qkv.data<T>(), *output = out.data<T>(), *doutput = dout.data<T>();
    const Accumulator<T>* const sums = log_sum_exp.data<Accumulator<T>>();
    T* const dinput = dqkv.data<T>();
    const std::int32_t* const padding =
        key_padding_mask.defined() ? key_padding_mask.data<std::int32_t>() : nullptr;
    parallel_for(shape.batch * shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
      BackwardScratch<T> scratch(shape.tokens, shape.head_dim);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t sequence = index / shape.heads, head = index % shape.heads;
        const std::int64_t row = sequence * shape.tokens, column = head * shape.head_dim;
        const T* const query = input + row * 3 * width + column;
        T* const dquery = dinput + row * 3 * width + column;
        const std::int64_t out_offset = row * width + column;
        backward_head(
            BackwardHead<T>{query, query + width, query + 2 * width, dquery, dquery + width,
                            dquery + 2 * width, 3 * width, output + out_offset,
                            doutput + out_offset, width, sums + index * shape.tokens,
                            padding ? padding + row : nullptr, shape.tokens, shape.head_dim,
                            first_mask_element(shape, sequence, head), &dropout},
            scratch);
      }
    });
  });
}

}  // namespace shardgrad::cpu
