// Matrix products for cuBLAS and cuBLASLt: what both check and compute.
#pragma once

#include "cublasLt.h"

namespace simt {

struct MatrixLayout {
  cudaDataType type = CUDA_R_32F;
  uint64_t rows = 0;
  uint64_t cols = 0;
  int64_t ld = 0;
  int32_t order = CUBLASLT_ORDER_COL;
  int32_t batch_count = 1;
  int64_t batch_stride = 0;  // in elements
};

struct MatmulDescription {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType scale = CUDA_R_32F;
  int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  int32_t transa = CUBLAS_OP_N;
  int32_t transb = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;  // or where its gradient goes
  int64_t bias_batch_stride = 0;
  int32_t bias_type = -1;
  void* aux = nullptr;  // GELU's input, stored or read
  int64_t aux_ld = 0;
  int64_t aux_batch_stride = 0;
  int32_t aux_type = -1;

  bool adds_bias() const { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
  bool gelu() const { return (epilogue & CUBLASLT_EPILOGUE_GELU) != 0; }
  bool dgelu() const { return (epilogue & 64) != 0; }
  bool uses_aux() const { return (epilogue & 128) != 0; }
  bool bias_gradient_of_d() const { return (epilogue & 16) != 0; }
  bool bias_gradient_of_a() const { return (epilogue & CUBLASLT_EPILOGUE_BGRADA) != 0; }
  bool bias_gradient_of_b() const { return (epilogue & CUBLASLT_EPILOGUE_BGRADB) != 0; }
  bool uses_bias() const {
    return adds_bias() || bias_gradient_of_d() || bias_gradient_of_a() || bias_gradient_of_b();
  }
};

/// One call, with all that descriptors said.
struct Matmul {
  const char* who;  // begins the messages
  MatmulDescription description;
  MatrixLayout a_layout, b_layout, c_layout, d_layout;
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;
  void* d = nullptr;
  const void* alpha = nullptr;
  const void* beta = nullptr;

  uint64_t rows() const { return d_layout.rows; }
  uint64_t cols() const { return d_layout.cols; }
  uint64_t depth() const {
    return description.transa == CUBLAS_OP_N ? a_layout.cols : a_layout.rows;
  }
  size_t bias_elements() const { return description.bias_gradient_of_b() ? cols() : rows(); }
};

size_t element_bytes(cudaDataType type);

/// Reports a call that cuBLAS would refuse, and returns `status`.
[[gnu::cold, gnu::format(printf, 2, 3)]] cublasStatus_t refuse(cublasStatus_t status,
                                                               const char* format, ...);

/// What can be told without the pointers: types, shapes, leading dimensions.
cublasStatus_t check_layouts(const Matmul& matmul);
/// Whether every operand lies in device memory, within its allocation.
cublasStatus_t check_operands(const Matmul& matmul);

/// Checks all, and puts the product into the stream.
cublasStatus_t enqueue_matmul(const Matmul& matmul, cudaStream_t stream);

/// Computes the product now.
void compute_matmul(const Matmul& matmul, double alpha, double beta);

}  // namespace simt
