#include "tensor/kernels/attention_block.h"
#include "tensor/parallel_for.h"
#include "tensor/round_up.h"

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
        memory_(Tensor::empty({kPanels * padded_.panel_size() + kBlocks * padded_.block_size() +
                               padded_.rows + kAttentionBlock * (2 * kAttentionBlock + 1)},
                              DTypeOf<T>::value)) {
    T* next = memory_.data<T>();
    for (HeadPanel<T>* panel : {&query_, &dout_, &dquery_}) *panel = padded_.panel(next);
    for (HeadPanel<T>* block : {&key_, &transposed_key_, &transposed_value_, &dkey_, &dvalue_}) {
      *block = padded_.block(next);
    }
    probabilities_ = next;
    dscores_ = probabilities_ + kAttentionBlock * kAttentionBlock;
    factors_ = dscores_ + kAttentionBlock * kAttentionBlock;
    correlation_ = factors_ + kAttentionBlock;
  }

  template <class Stored>
  void run(const BackwardHead<Stored>& head) {
    for (std::int64_t first_key = 0; first_key < padded_.tokens; first_key += kAttentionBlock) {
      padded_.fill(head.value, head.leading, first_key, key_.data);
      padded_.transpose(key_.data, transposed_value_.data);
      padded_.fill(head.key, head.leading, first_key, key_.data);
      padded_.transpose(key_.data, transposed_key_.data);
      // Queries before the block's first key see none of it.
      for (std::int64_t first = first_key; first < padded_.tokens; first += kAttentionBlock) {
        if (first_key == 0) fill_queries(head, first);
        run_block(head, first, first_key);
      }
      // The queries of this block have met all the keys that they see.
      padded_.drain(dquery_.row(first_key), first_key, head.dquery, head.leading);
      padded_.drain(dkey_.data, first_key, head.dkey, head.leading);
      padded_.drain(dvalue_.data, first_key, head.dvalue, head.leading);
    }
  }

 private:
  static constexpr std::int64_t kPanels = 3, kBlocks = 5;

  template <class Stored>
  void fill_queries(const BackwardHead<Stored>& head, std::int64_t first) {
    padded_.fill(head.query, head.leading, first, query_.row(first));
    padded_.fill(head.dout, head.out_leading, first, dout_.row(first));
    const std::int64_t end = std::min(first + kAttentionBlock, padded_.tokens);
    for (std::int64_t token = first; token < end; ++token) {
      const Stored* const out = head.out + token * head.out_leading;
      const T* const dout = dout_.row(token);
      correlation_[token] =
          static_cast<T>(lane_sum<T>(0, padded_.head_dim, [&](std::int64_t column) {
            return widen(out[column]) * dout[column];
          }));
    }
  }

  // [kTileRows, keys] of a product with a transposed block of keys or values.
  void multiply_by_block(const T* left, const HeadPanel<T>& block, std::int64_t keys,
                         T* out) const {
    multiply_rows<false, T>({left, padded_.columns, 1}, block.data, kAttentionBlock,
                            padded_.head_dim, out, kAttentionBlock, keys);
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
      scores[n] = exp_or_zero(multiply_add(scores[n], scale, -log_sum_exp));
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
    const bool drops = dropout_.threshold() != 0;
    multiply_by_block(query_.row(first + tile), transposed_key_, keys,
                      probabilities_ + tile * kAttentionBlock);
    multiply_by_block(dout_.row(first + tile), transposed_value_, keys,
                      dscores_ + tile * kAttentionBlock);
    for (std::int64_t row = tile; row < tile + kTileRows; ++row) {
      T* const scores = probabilities_ + row * kAttentionBlock;
      T* const dscores = dscores_ + row * kAttentionBlock;
      if (row >= rows) {
        std::fill(scores, scores + keys, T(0));
        std::fill(dscores, dscores + keys, T(0));
        continue;
      }
      hide_keys(head.key_padding, first + row, first_key, keys, scores);
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
    const auto multiply = [columns](bool accumulate, const LeftFactor<T>& a, const T* b,
                                    std::int64_t depth, T* c) {
      accumulate ? multiply_rows<true, T>(a, b, columns, depth, c, columns, columns)
                 : multiply_rows<false, T>(a, b, columns, depth, c, columns, columns);
    };
    for (std::int64_t tile = 0; tile < rows; tile += kTileRows) {
      if (first == first_key) {
        for (const Stored* const gradient : {head.dquery, head.dkey, head.dvalue}) {
          padded_.prefetch_output(gradient, head.leading, first + tile);
        }
      }
      const std::int64_t seen = keys_seen(first, tile, first_key);
      run_tile(head, first, tile, rows, first_key, round_up(seen, kVectorLanes<T>));
      multiply(first_key > 0, {dscores_ + tile * kAttentionBlock, kAttentionBlock, 1}, key_.data,
               seen, dquery_.row(first + tile));
    }
    // Of the block on the diagonal, a key is seen by the queries from its own place on.
    const bool diagonal = first == first_key;
    const std::int64_t computed = round_up(rows, kTileRows);
    const std::int64_t keys = diagonal ? computed : kAttentionBlock;
    for (std::int64_t key = 0; key < keys; key += kTileRows) {
      const std::int64_t begin = diagonal ? key : 0;
      const std::int64_t corner = begin * kAttentionBlock + key;
      multiply(!diagonal, {probabilities_ + corner, 1, kAttentionBlock}, dout_.row(first + begin),
               computed - begin, dvalue_.row(key));
      multiply(!diagonal, {dscores_ + corner, 1, kAttentionBlock}, query_.row(first + begin),
               computed - begin, dkey_.row(key));
    }
  }

  PaddedHead<T> padded_;
  const DropoutMask& dropout_;
  T scale_;  // of the scores
  Tensor memory_;
  HeadPanel<T> query_, dout_, dquery_;                                    // of all tokens
  HeadPanel<T> key_, transposed_key_, transposed_value_, dkey_, dvalue_;  // of a block of keys
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
    parallel_pieces(shape.batch * shape.heads, [&](const auto& take) {
      BackwardPass<T> pass(shape, dropout);
      for (std::int64_t index = take(); index >= 0; index = take()) {
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
