// float32 products with many rows, by panels of the right factor.
#pragma once

#include <functional>

#include "tensor/kernels/gemm_problem.h"

namespace shardgrad::cpu {

/// Whether multiply_by_panels() is the fastest way that is known for this problem here: in a
/// layer's forward pass, and for the gradient of its input where the weight is wide.
bool prefers_panels(const GemmProblem& problem);

/// Called for each block of c that is done, on the thread that made it and that still has it in its
/// cache: the place for a bias or an activation.
using BlockDone = std::function<void(const GemmBlock&)>;

/// c (+)= a b for float32 with a row-major, without the problem's bias. Brings the right factor,
/// panel by panel of columns, into row order in scratch memory that fits into the second cache, and
/// multiplies blocks of rows of a by it with oneDNN's sgemm, which is at its best with two
/// row-major factors. The threads share the blocks out among them as they get on.
/// Source of the order: Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication",
/// ACM TOMS 34(3), 2008.
/// @throws Error when oneDNN fails.
void multiply_by_panels(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                        const BlockDone& done);

}  // namespace shardgrad::cpu
