// float32 products by rows of the left factor.
#pragma once

#include "tensor/kernels/gemm_problem.h"

namespace shardgrad::cpu {

/// Whether multiply_by_rows() is the fastest way that is known for this problem here: for the
/// gradient of a layer's weight, whose left factor is transposed, and for that of its input.
bool prefers_rows(const GemmProblem& problem);

/// c (+)= a b for float32 with b row-major and no bias. Multiplies blocks of rows of a by b, which
/// stays where it lies, with oneDNN's sgemm; a transposed a is brought into row order, block by
/// block, in scratch memory that fits into the first or second cache. The threads share the blocks
/// out among them as they get on.
/// @throws Error when oneDNN fails.
void multiply_by_rows(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c);

}  // namespace shardgrad::cpu
