// Causal multi-head self-attention on a fused projection.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/attention.h"

namespace shardgrad {

/// softmax(q k^T / sqrt(Dh) + causal and padding masks) v for this rank's heads.
/// qkv [B*T, 3*H*Dh] (q of all local heads, then k, then v) -> [B*T, H*Dh]. key_padding_mask int32
/// [B, T], 0 hides a key, or undefined. The probabilities are dropped out by `dropout`'s stream;
/// the mask of a head does not depend on which rank computes it (see tensor/kernels/attention.h).
Variable causal_attention(const Variable& qkv, const Tensor& key_padding_mask,
                          const AttentionShape& shape, const DropoutMask& dropout);

}  // namespace shardgrad
