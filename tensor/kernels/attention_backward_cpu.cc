#include "tensor/kernels/attention_block.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// One head of one sequence, as it is stored. The gradients lie as query, key and value do.
template <class Stored>
struct BackwardHead {
  const Stored *query, *key, *value;
  Stored *dquery, *dkey, *dvalue;
  std::int64_t leading;
  const Stored *out, *dout;
  std::int64_t out_leading;
  const Accumulator<Stored>* log_sum_exp;
  const std::int32_t* key_padding;
  std::int64_t mask_element;
};

// Computes one head after another, in memory of its own.
template <class T>
class BackwardPass {
 public:
  BackwardPass(const AttentionShape& shape, const DropoutMask& dropout)
      : padded_(shape.tokens, shape.head_dim),
        dropout_(dropout),
        scale_(static_cast<T>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)))),
        memory_(Tensor::empty({kPanels * padded_.panel_size() + padded_.rows +
                               kAttentionBlock * (2 * kAttentionBlock + 1)},
                              DTypeOf<T>::value)) {
    T* next = memory_.data<T>();
    for (HeadPanel<T>* panel : {&query_, &key_, &transposed_key_, &value_, &transposed_value_,
                                &dout_, &dquery_, &dkey_, &dvalue_}) {
      *panel = padded_.panel(next);
    }
    probabilities_ = next;
    dscores_ = probabilities_ + kAttentionBlock * kAttentionBlock;
    factors_ = dscores_ + kAttentionBlock * kAttentionBlock;
    correlation_ = factors_ + kAttentionBlock;
  }

  template <class Stored>
  void run(const BackwardHead<Stored>& head) {
    padded_.fill(head.query, head.leading, query_);
    padded_.fill(head.key, head.leading, key_);
    padded_.fill(head.value, head.leading, value_);
    padded_.fill(head.dout, head.out_leading, dout_);
    padded_.transpose_blocks(key_, transposed_key_);
    padded_.transpose_blocks(value_, transposed_value_);
    correlate(head);
    for (const HeadPanel<T>* gradient : {&dquery_, &dkey_, &dvalue_}) {
      std::fill(gradient->data, gradient->row(padded_.rows), T(0));
    }
    for (std::int64_t first_key = 0; first_key < padded_.tokens; first_key += kAttentionBlock) {
      // Queries before the block's first key see none of it.
      for (std::int64_t first = first_key; first < padded_.tokens; first += kAttentionBlock) {
        run_block(head, first, first_key);
      }
    }
    padded_.drain(dquery_, head.dquery, head.leading);
    padded_.drain(dkey_, head.dkey, head.leading);
    padded_.drain(dvalue_, head.dvalue, head.leading);
  }

 private:
  static constexpr std::int64_t kPanels = 9;

  template <class Stored>
  void correlate(const BackwardHead<Stored>& head) {
    for (std::int64_t token = 0; token < padded_.tokens; ++token) {
      const Stored* const out = head.out + token * head.out_leading;
      const T* const dout = dout_.row(token);
      correlation_[token] =
          static_cast<T>(lane_sum<T>(0, padded_.head_dim, [&](std::int64_t column) {
            return widen(out[column]) * dout[column];
          }));
    }
  }

  // [kTileRows, keys] of a product with a transposed block of keys or values.
  void multiply_by_block(const HeadPanel<T>& left, std::int64_t query, const HeadPanel<T>& block,
                         std::int64_t first_key, std::int64_t keys, T* out) const {
    multiply_rows<false, T>({left.row(query), padded_.columns, 1}, block.row(first_key),
                            kAttentionBlock, padded_.head_dim, out, kAttentionBlock, keys);
  }

  // One row of a block. In: scores, and dscores holding d loss / d (dropped) probability. Out: the
  // probabilities as they met the values, and dscores = d loss / d (q . k).
  [[gnu::flatten]] void softmax_backward_row(T* scores, T* dscores, bool drops, std::int64_t keys,
                                             T log_sum_exp, T correlation) const {
    const T scale = scale_;
    if (log_sum_exp == -std::numeric_limits<T>::infinity()) {  // this query sees no key
      std::fill(scores, scores + keys, T(0));
      std::fill(dscores, dscores + keys, T(0));
      return;
    }
#pragma omp simd
    for (std::int64_t n = 0; n < keys; ++n) {
      scores[n] = exp(multiply_add(scores[n], scale, -log_sum_exp));
    }
    if (!drops) {
#pragma omp simd
      for (std::int64_t n = 0; n < keys; ++n) {
        dscores[n] = scores[n] * (dscores[n] - correlation) * scale;
      }
      return;
    }
    const T* const factors = factors_;
#pragma omp simd
    for (std::int64_t n = 0; n < keys; ++n) {
      dscores[n] = scores[n] * (dscores[n] * factors[n] - correlation) * scale;
      scores[n] *= factors[n];
    }
  }

  // Probabilities and dscores of kTileRows queries, of which the head has `rows`.
  template <class Stored>
  void run_tile(const BackwardHead<Stored>& head, std::int64_t first, std::int64_t tile,
                std::int64_t rows, std::int64_t first_key, std::int64_t keys) {
    const BlockMask mask{head.key_padding, first, first_key};
    const bool drops = dropout_.threshold() != 0;
    multiply_by_block(query_, first + tile, transposed_key_, first_key, keys,
                      probabilities_ + tile * kAttentionBlock);
    multiply_by_block(dout_, first + tile, transposed_value_, first_key, keys,
                      dscores_ + tile * kAttentionBlock);
    for (std::int64_t row = tile; row < tile + kTileRows; ++row) {
      T* const scores = probabilities_ + row * kAttentionBlock;
      T* const dscores = dscores_ + row * kAttentionBlock;
      if (row >= rows) {
        std::fill(scores, scores + keys, T(0));
        std::fill(dscores, dscores + keys, T(0));
        continue;
      }
      mask.hide(row, keys, scores);
      if (drops) {
        dropout_factors(dropout_, head.mask_element + (first + row) * padded_.tokens + first_key,
                        keys, factors_);
      }
      softmax_backward_row(scores, dscores, drops, keys, head.log_sum_exp[first + row],
                           correlation_[first + row]);
    }
  }

  template <class Stored>
  void run_block(const BackwardHead<Stored>& head, std::int64_t first, std::int64_t first_key) {
    const std::int64_t columns = padded_.columns;
    const std::int64_t rows = std::min(kAttentionBlock, padded_.tokens - first);
    for (std::int64_t tile = 0; tile < rows; tile += kTileRows) {
      const std::int64_t keys = keys_needed<T>(first, tile, first_key);
      run_tile(head, first, tile, rows, first_key, keys);
      multiply_rows<true, T>({dscores_ + tile * kAttentionBlock, kAttentionBlock, 1},
                             key_.row(first_key), columns, keys, dquery_.row(first + tile), columns,
                             columns);
    }
    // Of the block on the diagonal, a key is seen by the queries from its own place on.
    const std::int64_t computed = round_up(rows, kTileRows);
    const std::int64_t keys = first == first_key ? computed : kAttentionBlock;
    for (std::int64_t key = 0; key < keys; key += kTileRows) {
      const std::int64_t begin = first == first_key ? key : 0;
      const std::int64_t corner = begin * kAttentionBlock + key;
      multiply_rows<true, T>({probabilities_ + corner, 1, kAttentionBlock},
                             dout_.row(first + begin), columns, computed - begin,
                             dvalue_.row(first_key + key), columns, columns);
      multiply_rows<true, T>({dscores_ + corner, 1, kAttentionBlock}, query_.row(first + begin),
                             columns, computed - begin, dkey_.row(first_key + key), columns,
                             columns);
    }
  }

  PaddedHead<T> padded_;
  const DropoutMask& dropout_;
  T scale_;  // of the scores
  Tensor memory_;
  HeadPanel<T> query_, key_, transposed_key_, value_, transposed_value_, dout_;
  HeadPanel<T> dquery_, dkey_, dvalue_;
  T *probabilities_, *dscores_;  // [kAttentionBlock, kAttentionBlock] of one block
  T* factors_;                   // of dropout
  // correlation_[i] = sum over the head's columns of dout * out, which is the sum over keys of
  // probability * d probability: what the softmax's gradient subtracts.
  T* correlation_;
};

}  // namespace

void attention_backward(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& dout, const AttentionShape& shape,
                        const DropoutMask& dropout, Tensor& dqkv) {
  dispatch_floating(qkv.dtype(), "attention_backward", [&](auto type) {
    using Stored = decltype(type);
    using T = Accumulator<Stored>;
    const std::int64_t width = shape.heads * shape.head_dim;
    const Stored *input = qkv.data<Stored>(), *output = out.data<Stored>(),
                 *doutput = dout.data<Stored>();
    const T* const sums = log_sum_exp.data<T>();
    Stored* const dinput = dqkv.data<Stored>();
    const std::int32_t* const padding =
        key_padding_mask.defined() ? key_padding_mask.data<std::int32_t>() : nullptr;
    parallel_for(shape.batch * shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
      BackwardPass<T> pass(shape, dropout);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t sequence = index / shape.heads, head = index % shape.heads;
        const std::int64_t row = sequence * shape.tokens, column = head * shape.head_dim;
        const Stored* const query = input + row * 3 * width + column;
        Stored* const dquery = dinput + row * 3 * width + column;
        const std::int64_t out_offset = row * width + column;
        pass.run(BackwardHead<Stored>{
            query, query + width, query + 2 * width, dquery, dquery + width, dquery + 2 * width,
            3 * width, output + out_offset, doutput + out_offset, width,
            sums + index * shape.tokens, padding ? padding + row : nullptr,
            first_mask_element(shape, sequence, head)});
      }
    });
  });
}

}  // namespace shardgrad::cpu
