// cuBLAS: handles, and the products that cuBLASLt's are a superset of.
#include "cublas_v2.h"
#include "simt/src/device.h"
#include "simt/src/matmul.h"
#include "simt/src/stream.h"

struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};

using namespace simt;

extern "C" {

const char* cublasGetStatusName(cublasStatus_t status) {
#define SIMT_STATUS(NAME) \
  case NAME:              \
    return #NAME;
  switch (status) {
    SIMT_STATUS(CUBLAS_STATUS_SUCCESS)
    SIMT_STATUS(CUBLAS_STATUS_NOT_INITIALIZED)
    SIMT_STATUS(CUBLAS_STATUS_ALLOC_FAILED)
    SIMT_STATUS(CUBLAS_STATUS_INVALID_VALUE)
    SIMT_STATUS(CUBLAS_STATUS_ARCH_MISMATCH)
    SIMT_STATUS(CUBLAS_STATUS_MAPPING_ERROR)
    SIMT_STATUS(CUBLAS_STATUS_EXECUTION_FAILED)
    SIMT_STATUS(CUBLAS_STATUS_INTERNAL_ERROR)
    SIMT_STATUS(CUBLAS_STATUS_NOT_SUPPORTED)
    SIMT_STATUS(CUBLAS_STATUS_LICENSE_ERROR)
  }
#undef SIMT_STATUS
  return "CUBLAS_STATUS_UNKNOWN";
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an invalid value was used as an argument";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "an absent device architectural feature is required";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "an access to GPU memory space failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality is not supported";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "the functionality requires a license";
  }
  return "unknown status";
}

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext{current_device(), nullptr};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  run_all_streams();
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t) {
  return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n, int k,
    const void* alpha, const void* A, cudaDataType Atype, int lda, long long strideA, const void* B,
    cudaDataType Btype, int ldb, long long strideB, const void* beta, void* C, cudaDataType Ctype,
    int ldc, long long strideC, int batchCount, cublasComputeType_t computeType, cublasGemmAlgo_t) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  Matmul matmul = {};
  matmul.who = "cublasGemmEx";
  if (handle->device != current_device()) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: a handle of device %d on device %d", matmul.who,
                  handle->device, current_device());
  }
  if (m < 0 || n < 0 || k < 0 || batchCount < 0) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: m %d, n %d, k %d, batch %d", matmul.who, m, n,
                  k, batchCount);
  }
  if (batchCount == 0) return CUBLAS_STATUS_SUCCESS;
  matmul.description.compute = computeType;
  matmul.description.scale = Atype == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F;
  matmul.description.transa = transa;
  matmul.description.transb = transb;
  const auto layout = [batchCount](cudaDataType type, bool turned, int rows, int cols, int ld,
                                   long long stride) {
    MatrixLayout made;
    made.type = type;
    made.rows = static_cast<uint64_t>(turned ? cols : rows);
    made.cols = static_cast<uint64_t>(turned ? rows : cols);
    made.ld = ld;
    made.batch_count = batchCount;
    made.batch_stride = stride;
    return made;
  };
  matmul.a_layout = layout(Atype, transa != CUBLAS_OP_N, m, k, lda, strideA);
  matmul.b_layout = layout(Btype, transb != CUBLAS_OP_N, k, n, ldb, strideB);
  matmul.c_layout = matmul.d_layout = layout(Ctype, false, m, n, ldc, strideC);
  matmul.a = A;
  matmul.b = B;
  matmul.c = matmul.d = C;
  matmul.alpha = alpha;
  matmul.beta = beta;
  return enqueue_matmul(matmul, handle->stream);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k, const void* alpha,
                            const void* A, cudaDataType Atype, int lda, const void* B,
                            cudaDataType Btype, int ldb, const void* beta, void* C,
                            cudaDataType Ctype, int ldc, cublasComputeType_t computeType,
                            cublasGemmAlgo_t algo) {
  return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B,
                                    Btype, ldb, 0, beta, C, Ctype, ldc, 0, 1, computeType, algo);
}

}  // extern "C"
