// Table lookup, whole or over one shard of the rows.
#pragma once

#include "tensor/kernel.h"

namespace shardgrad {
namespace cpu {

/// out[m, :] = table[ids[m] - first_row, :], or zeros where that row is not in the table (another
/// rank holds it). ids int32 [M]; table [R, D]; out [M, D]. Contiguous.
void embedding_forward(const Tensor& ids, const Tensor& table, std::int64_t first_row, Tensor& out);

/// dtable[ids[m] - first_row, :] += dy[m, :] for the rows in the table, in the order of m for each
/// row, so the result does not depend on the number of threads. ids int32 [M]; dy [M, D];
/// dtable [R, D], of dy's or the accumulation dtype. Contiguous. Always adds: the caller clears
/// dtable first where it must.
void embedding_backward(const Tensor& ids, const Tensor& dy, std::int64_t first_row,
                        Tensor& dtable);

}  // namespace cpu

// What the arguments must be, for either device.
namespace checks {
decltype(cpu::embedding_forward) embedding_forward;
decltype(cpu::embedding_backward) embedding_backward;
}  // namespace checks

// The CUDA twins.
namespace cuda {
[[gnu::weak]] decltype(cpu::embedding_forward) embedding_forward;
[[gnu::weak]] decltype(cpu::embedding_backward) embedding_backward;
}  // namespace cuda

namespace kernels {
inline const Kernel embedding_forward{"embedding_forward", checks::embedding_forward,
                                      cpu::embedding_forward, cuda::embedding_forward};
inline const Kernel embedding_backward{"embedding_backward", checks::embedding_backward,
                                       cpu::embedding_backward, cuda::embedding_backward};
}  // namespace kernels
}  // namespace shardgrad
