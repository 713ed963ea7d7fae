#include "tensor/kernels/attention_block.h"
#include "tensor/parallel_for.h"
#include "tensor/round_up.h"

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

// Computes one head after another, in memory of its own: for a block of queries at a time the
// scores of all keys that they see, then their softmax, then its product with the values.
template <class T>
class ForwardPass {
 public:
  ForwardPass(const AttentionShape& shape, const DropoutMask& dropout)
      : padded_(shape.tokens, shape.head_dim),
        dropout_(dropout),
        scale_(static_cast<T>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)))),
        memory_(Tensor::empty({2 * padded_.panel_size() + 2 * padded_.block_size() +
                               kAttentionBlock * (leading() + 1)},
                              DTypeOf<T>::value)) {
    T* next = memory_.data<T>();
    transposed_key_ = padded_.panel(next);
    value_ = padded_.panel(next);
    query_ = padded_.block(next);
    sums_ = padded_.block(next);
    scores_ = next;
    factors_ = scores_ + kAttentionBlock * leading();
  }

  template <class Stored>
  void run(const ForwardHead<Stored>& head) {
    for (std::int64_t first = 0; first < padded_.tokens; first += kAttentionBlock) {
      padded_.fill(head.key, head.leading, first, query_.data);  // which is free until it is filled
      padded_.transpose(query_.data, transposed_key_.row(first));
      padded_.fill(head.value, head.leading, first, value_.row(first));
      padded_.fill(head.query, head.leading, first, query_.data);
      run_queries(head, first);
    }
  }

 private:
  // Of the rows of scores_: some more than the keys, since rows whose distance is a power of two
  // would share few places of the first cache.
  std::int64_t leading() const { return padded_.rows + kVectorLanes<T>; }
  T* scores(std::int64_t row) const { return scores_ + row * leading(); }

  // Turns the scores of `keys` keys into probabilities relative to the largest, but for their sum.
  [[gnu::flatten]] void softmax(std::int64_t row, std::int64_t keys) {
    T* const scores = this->scores(row);
    constexpr T kHidden = -std::numeric_limits<T>::infinity();
    const T largest = lane_max<T>(0, keys, kHidden, [&](std::int64_t n) { return scores[n]; });
    // Without a visible key all become exp_or_zero(-infinity) = 0.
    const T shift = largest == kHidden ? T(0) : largest * scale_;
    const T scale = scale_;
    row_shift_[row] = shift;
    row_sum_[row] = static_cast<T>(long_sum<T>(keys, [&](std::int64_t n) {
      return scores[n] = exp_or_zero(multiply_add(scores[n], scale, -shift));
    }));
  }

  void drop(std::int64_t row, std::int64_t keys, std::int64_t mask_element) {
    for (std::int64_t first = 0; first < keys; first += kAttentionBlock) {
      T* const probabilities = scores(row) + first;
      const std::int64_t count = std::min(kAttentionBlock, keys - first);
      dropout_factors(dropout_, mask_element + first, count, factors_);
      for (std::int64_t n = 0; n < count; ++n) probabilities[n] *= factors_[n];
    }
  }

  template <class Stored>
  void run_queries(const ForwardHead<Stored>& head, std::int64_t first) {
    const std::int64_t columns = padded_.columns;
    const std::int64_t rows = std::min(kAttentionBlock, padded_.tokens - first);
    for (std::int64_t first_key = 0; first_key <= first; first_key += kAttentionBlock) {
      for (std::int64_t tile = 0; tile < rows; tile += kTileRows) {
        const std::int64_t keys = round_up(keys_seen(first, tile, first_key), kVectorLanes<T>);
        if (first_key == first) {
          padded_.prefetch_output(head.out, head.out_leading, first + tile);
        }
        multiply_rows<false, T>({query_.row(tile), columns, 1}, transposed_key_.row(first_key),
                                kAttentionBlock, padded_.head_dim, scores(tile) + first_key,
                                leading(), keys);
      }
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t query = first + row;
      const std::int64_t keys = round_up(query + 1, kLanes);  // which leaves no rest
      hide_keys(head.key_padding, query, 0, keys, scores(row));
      softmax(row, keys);
      if (dropout_.threshold() == 0) continue;
      drop(row, query + 1, head.mask_element + query * padded_.tokens);
    }
    for (std::int64_t tile = 0; tile < rows; tile += kTileRows) {
      multiply_rows<false, T>({scores(tile), leading(), 1}, value_.data, columns,
                              first + tile + kTileRows, sums_.row(tile), columns, columns);
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
    head.log_sum_exp[first + row] = row_shift_[row] + std::log(sum);
  }

  PaddedHead<T> padded_;
  const DropoutMask& dropout_;
  T scale_;  // of the scores
  Tensor memory_;
  HeadPanel<T> transposed_key_, value_;  // of all tokens so far
  HeadPanel<T> query_;                   // of the block
  HeadPanel<T> sums_;                    // of value * probability, for the block's queries
  T* scores_;                            // [kAttentionBlock, leading()]: then probabilities
  T* factors_;                           // of dropout
  T row_shift_[kAttentionBlock], row_sum_[kAttentionBlock];
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
    parallel_pieces(shape.batch * shape.heads, [&](const auto& take) {
      ForwardPass<T> pass(shape, dropout);
      for (std::int64_t index = take(); index >= 0; index = take()) {
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
