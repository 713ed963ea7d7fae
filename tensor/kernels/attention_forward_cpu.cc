#include "tensor/kernels/attention_block.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// One head of one sequence, as it is stored.
template <class Stored>
struct ForwardHead {
  const Stored *query, *key, *value;
  std::int64_t leading;  // of query, key and value
  Stored* out;
  std::int64_t out_leading;
  Accumulator<Stored>* log_sum_exp;
  const std::int32_t* key_padding;
  std::int64_t mask_element;
};

// Computes one head after another, in memory of its own.
template <class T>
class ForwardPass {
 public:
  ForwardPass(const AttentionShape& shape, const DropoutMask& dropout)
      : padded_(shape.tokens, shape.head_dim),
        dropout_(dropout),
        scale_(static_cast<T>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)))),
        memory_(
            Tensor::empty({4 * padded_.panel_size() +
                           kAttentionBlock * (kAttentionBlock + padded_.columns + kVectorLanes<T>)},
                          DTypeOf<T>::value)) {
    T* next = memory_.data<T>();
    for (HeadPanel<T>* panel : {&query_, &key_, &transposed_key_, &value_}) {
      *panel = padded_.panel(next);
    }
    scores_ = next;
    sums_ = {scores_ + kAttentionBlock * kAttentionBlock, padded_.columns};
    factors_ = sums_.row(kAttentionBlock);
  }

  template <class Stored>
  void run(const ForwardHead<Stored>& head) {
    padded_.fill(head.query, head.leading, query_);
    padded_.fill(head.key, head.leading, key_);
    padded_.fill(head.value, head.leading, value_);
    padded_.transpose_blocks(key_, transposed_key_);
    for (std::int64_t first = 0; first < padded_.tokens; first += kAttentionBlock) {
      run_queries(head, first);
    }
  }

 private:
  // Scores of kTileRows queries against the first `keys` keys of a block.
  void multiply_by_keys(std::int64_t first, std::int64_t row, std::int64_t first_key,
                        std::int64_t keys) {
    multiply_rows<false, T>({query_.row(first + row), padded_.columns, 1},
                            transposed_key_.row(first_key), kAttentionBlock, padded_.head_dim,
                            scores_ + row * kAttentionBlock, kAttentionBlock, keys);
  }

  // Turns a row of scores into probabilities relative to the row's maximum so far, and brings what
  // the row has summed up to that maximum.
  [[gnu::flatten]] void online_softmax(std::int64_t row, std::int64_t keys) {
    T* const scores = scores_ + row * kAttentionBlock;
    T* const sums = sums_.row(row);
    const T new_max =
        lane_max<T>(0, keys, row_max_[row], [&](std::int64_t n) { return scores[n]; });
    if (new_max == -std::numeric_limits<T>::infinity()) {  // no visible key yet
      std::fill(scores, scores + keys, T(0));
      return;
    }
#pragma omp simd
    for (std::int64_t n = 0; n < keys; ++n) scores[n] = exp((scores[n] - new_max) * scale_);
    const T correction = exp((row_max_[row] - new_max) * scale_);
    const T sum = static_cast<T>(lane_sum<T>(0, keys, [&](std::int64_t n) { return scores[n]; }));
    row_sum_[row] = multiply_add(row_sum_[row], correction, sum);
    row_max_[row] = new_max;
    if (correction == T(1)) return;
#pragma omp simd
    for (std::int64_t column = 0; column < padded_.columns; ++column) sums[column] *= correction;
  }

  void drop(std::int64_t row, std::int64_t keys, std::int64_t mask_element) {
    T* const probabilities = scores_ + row * kAttentionBlock;
    dropout_factors(dropout_, mask_element, keys, factors_);
    for (std::int64_t n = 0; n < keys; ++n) probabilities[n] *= factors_[n];
  }

  template <class Stored>
  void run_queries(const ForwardHead<Stored>& head, std::int64_t first) {
    const std::int64_t rows = std::min(kAttentionBlock, padded_.tokens - first);
    std::fill(sums_.data, sums_.row(kAttentionBlock), T(0));
    std::fill(row_max_, row_max_ + kAttentionBlock, -std::numeric_limits<T>::infinity());
    std::fill(row_sum_, row_sum_ + kAttentionBlock, T(0));
    for (std::int64_t first_key = 0; first_key <= first; first_key += kAttentionBlock) {
      const BlockMask mask{head.key_padding, first, first_key};
      for (std::int64_t tile = 0; tile < rows; tile += kTileRows) {
        const std::int64_t keys = keys_needed<T>(first, tile, first_key);
        multiply_by_keys(first, tile, first_key, keys);
        for (std::int64_t row = tile; row < std::min(tile + kTileRows, rows); ++row) {
          mask.hide(row, keys, scores_ + row * kAttentionBlock);
          online_softmax(row, keys);
          if (dropout_.threshold() == 0) continue;
          drop(row, keys, head.mask_element + (first + row) * padded_.tokens + first_key);
        }
        multiply_rows<true, T>({scores_ + tile * kAttentionBlock, kAttentionBlock, 1},
                               value_.row(first_key), padded_.columns, keys, sums_.row(tile),
                               padded_.columns, padded_.columns);
      }
    }
    for (std::int64_t row = 0; row < rows; ++row) finish(head, first, row);
  }

  template <class Stored>
  void finish(const ForwardHead<Stored>& head, std::int64_t first, std::int64_t row) const {
    const T sum = row_sum_[row];
    const T inverse = sum == T(0) ? T(0) : T(1) / sum;  // no visible key: zeros
    Stored* const out = head.out + (first + row) * head.out_leading;
    const T* const sums = sums_.row(row);
#pragma omp simd
    for (std::int64_t column = 0; column < padded_.head_dim; ++column) {
      store(out[column], sums[column] * inverse);
    }
    head.log_sum_exp[first + row] = row_max_[row] * scale_ + std::log(sum);
  }

  PaddedHead<T> padded_;
  const DropoutMask& dropout_;
  T scale_;  // of the scores
  Tensor memory_;
  HeadPanel<T> query_, key_, transposed_key_, value_;
  T* scores_;          // [kAttentionBlock, kAttentionBlock]: then probabilities
  HeadPanel<T> sums_;  // of value * probability, for the block's queries
  T* factors_;         // of dropout
  T row_max_[kAttentionBlock], row_sum_[kAttentionBlock];
};

}  // namespace

void attention_forward(const Tensor& qkv, const Tensor& key_padding_mask,
                       const AttentionShape& shape, const DropoutMask& dropout, Tensor& out,
                       Tensor& log_sum_exp) {
  dispatch_floating(qkv.dtype(), "attention_forward", [&](auto type) {
    using Stored = decltype(type);
    using T = Accumulator<Stored>;
    const std::int64_t width = shape.heads * shape.head_dim;
    const Stored* const input = qkv.data<Stored>();
    Stored* const output = out.data<Stored>();
    T* const sums = log_sum_exp.data<T>();
    const std::int32_t* const padding =
        key_padding_mask.defined() ? key_padding_mask.data<std::int32_t>() : nullptr;
    parallel_for(shape.batch * shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
      ForwardPass<T> pass(shape, dropout);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t sequence = index / shape.heads, head = index % shape.heads;
        const std::int64_t row = sequence * shape.tokens, column = head * shape.head_dim;
        const Stored* const query = input + row * 3 * width + column;
        pass.run(ForwardHead<Stored>{query, query + width, query + 2 * width, 3 * width,
                                     output + row * width + column, width,
                                     sums + index * shape.tokens, padding ? padding + row : nullptr,
                                     first_mask_element(shape, sequence, head)});
      }
    });
  });
}

}  // namespace shardgrad::cpu
