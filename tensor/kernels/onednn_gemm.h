// float32 and bfloat16 products on the CPU, by oneDNN.
#pragma once

#include "tensor/kernels/matrix_layout.h"

namespace shardgrad::cpu {

/// What is known of a product c [m, n] (+)= a [m, k] b [k, n] (+ bias) but its numbers.
struct GemmProblem {
  std::int64_t m, n, k;
  MatrixLayout a, b, c;
  bool bias, accumulate;
  DType dtype, c_dtype;
  int threads;
};

/// Whether this processor has instructions that multiply bfloat16 numbers.
bool multiplies_bfloat16();

/// Computes the product of float32 or bfloat16 matrices, by the call of oneDNN that was found to be
/// the fastest for such a problem; which one depends on the problem and the processor alone, so a
/// run repeats bit for bit.
/// @throws Error when oneDNN fails.
void onednn_gemm(const GemmProblem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                 Tensor& c);

}  // namespace shardgrad::cpu
