// float32 and bfloat16 products on the CPU, by oneDNN.
#pragma once

#include "tensor/kernels/gemm_problem.h"

namespace shardgrad::cpu {

/// Computes the product of float32 or bfloat16 matrices, by the call of oneDNN that was found to be
/// the fastest for such a problem; which one depends on the problem and the processor alone, so a
/// run repeats bit for bit.
/// @throws Error when oneDNN fails.
void onednn_gemm(const GemmProblem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                 Tensor& c);

}  // namespace shardgrad::cpu
