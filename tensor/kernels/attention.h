// Causal self-attention that never stores a T x T matrix: a block of queries at a time forward (on
// CUDA by blocks of keys, with an online softmax), and probabilities recomputed from the saved
// log-sum-exp backward.
// Source: Dao et al., "FlashAttention", arXiv:2205.14135; Dao, arXiv:2307.08691.
#pragma once

#include "tensor/kernel.h"
#include "tensor/kernels/dropout.h"

namespace shardgrad {

/// The shape of one attention call, and this rank's place among all heads.
struct AttentionShape {
  std::int64_t batch = 0;           ///< B, sequences
  std::int64_t tokens = 0;          ///< T, tokens of a sequence
  std::int64_t heads = 0;           ///< H, heads on this rank
  std::int64_t head_dim = 0;        ///< Dh
  std::int64_t first_head = 0;      ///< global index of this rank's first head
  std::int64_t all_heads = 0;       ///< heads of the whole layer
  std::int64_t first_sequence = 0;  ///< index of the first sequence within the step's global batch
};

namespace cpu {

/// out = softmax(q k^T / sqrt(Dh) + masks) v for each head.
/// qkv [B*T, 3*H*Dh]: a row holds q of all local heads, then k, then v. out [B*T, H*Dh].
/// Key j is visible to query i when j <= i and key_padding_mask[b, j] != 0 (int32 [B, T], or
/// undefined: all visible). A query that sees no key gets zeros.
/// log_sum_exp [B, H, T] (output, for the backward pass, accumulation dtype) of the scaled scores;
/// -infinity where no key is visible.
/// Dropout on the probabilities: the mask element of (sequence b, head h, query i, key j) is
/// (((first_sequence + b) * all_heads + first_head + h) * T + i) * T + j, and
/// dropout.first_element is not used.
void attention_forward(const Tensor& qkv, const Tensor& key_padding_mask,
                       const AttentionShape& shape, const DropoutMask& dropout, Tensor& out,
                       Tensor& log_sum_exp);

/// dqkv [B*T, 3*H*Dh] = gradient of the above, overwritten. out and log_sum_exp are the forward's.
void attention_backward(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& out,
                        const Tensor& log_sum_exp, const Tensor& dout, const AttentionShape& shape,
                        const DropoutMask& dropout, Tensor& dqkv);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::attention_forward) attention_forward;
decltype(cpu::attention_backward) attention_backward;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::attention_forward) attention_forward;
[[gnu::weak]] decltype(cpu::attention_backward) attention_backward;
}  // namespace cuda

namespace kernels {
inline const Kernel attention_forward{"attention_forward", checks::attention_forward,
                                      cpu::attention_forward, cuda::attention_forward};
inline const Kernel attention_backward{"attention_backward", checks::attention_backward,
                                       cpu::attention_backward, cuda::attention_backward};
}  // namespace kernels
}  // namespace shardgrad
