// Attention of the newest tokens of a sequence over the keys and values of all of it, kept from
// earlier calls.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {

/// The shape of one call.
struct CachedAttentionShape {
  std::int64_t batch = 0;     ///< B, sequences
  std::int64_t queries = 0;   ///< Q, the newest tokens of a sequence
  std::int64_t length = 0;    ///< L, tokens of a sequence, the newest included; Q <= L <= C
  std::int64_t capacity = 0;  ///< C, tokens that the cache has room for
  std::int64_t heads = 0;     ///< H, heads on this rank
  std::int64_t head_dim = 0;  ///< Dh
};

namespace cpu {

/// out = softmax(q k^T / sqrt(Dh) + causal mask) v for each head.
/// qkv [B*Q, 3*H*Dh], as attention_forward() has it, of which only the q are read. cache
/// [B, C, 2*H*Dh]: a row holds k of all local heads, then v; of a sequence the first L rows are
/// read. Query i of a sequence is its token L - Q + i, and sees the tokens up to itself.
/// out [B*Q, H*Dh]. No more than 64 rows of scores exist at a time.
void cached_attention(const Tensor& qkv, const Tensor& cache, const CachedAttentionShape& shape,
                      Tensor& out);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::cached_attention) cached_attention;
}  // namespace checks

// The CUDA twin.
namespace cuda {
[[gnu::weak]] decltype(cpu::cached_attention) cached_attention;
}  // namespace cuda

namespace kernels {
inline const Kernel cached_attention{"cached_attention", checks::cached_attention,
                                     cpu::cached_attention, cuda::cached_attention};
}  // namespace kernels
}  // namespace shardgrad
