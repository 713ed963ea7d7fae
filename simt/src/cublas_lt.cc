// cuBLASLt: handles, the choice of an algorithm, and the product itself.
#include "simt/src/cublas_lt.h"

#include <algorithm>
#include <cstring>

#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/memory.h"
#include "simt/src/stream.h"

using namespace simt;

namespace {

// What an algorithm asks for if it may: enough to notice who passes none.
constexpr size_t kWorkspaceBytes = size_t{64} << 10;
constexpr size_t kWorkspaceAlignment = 16;

/// What cublasLtMatmulAlgo_t holds.
struct Algorithm {
  static constexpr uint64_t kMagic = 0x746C6173626C6275ull;
  uint64_t magic;
  uint64_t workspace_bytes;
  uint32_t alignment[4];
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

Matmul describe(const char* who, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
                cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  Matmul matmul = {};
  matmul.who = who;
  matmul.description = description->description;
  matmul.a_layout = a->layout;
  matmul.b_layout = b->layout;
  matmul.c_layout = c->layout;
  matmul.d_layout = d->layout;
  return matmul;
}

cublasStatus_t check_algorithm(const Algorithm& algorithm, const Matmul& matmul, void* workspace,
                               size_t workspace_bytes) {
  if (algorithm.magic != Algorithm::kMagic) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "cublasLtMatmul: an algorithm that cublasLtMatmulAlgoGetHeuristic did not fill");
  }
  if (algorithm.workspace_bytes > workspace_bytes || workspace_bytes > 0) {
    if (algorithm.workspace_bytes > workspace_bytes ||
        !is_device_pointer(workspace, workspace_bytes) ||
        reinterpret_cast<uintptr_t>(workspace) % kWorkspaceAlignment != 0) {
      return refuse(CUBLAS_STATUS_INVALID_VALUE,
                    "cublasLtMatmul: the workspace (%p, %zu bytes) must be in device memory, "
                    "aligned to 16 bytes, and have the %llu bytes that the algorithm needs",
                    workspace, workspace_bytes,
                    static_cast<unsigned long long>(algorithm.workspace_bytes));
    }
  }
  const void* const pointers[4] = {matmul.a, matmul.b, matmul.c, matmul.d};
  for (int i = 0; i < 4; ++i) {
    if (reinterpret_cast<uintptr_t>(pointers[i]) % algorithm.alignment[i] != 0) {
      return refuse(CUBLAS_STATUS_INVALID_VALUE,
                    "cublasLtMatmul: %c (%p) is not aligned to %u bytes, as the preference of the "
                    "algorithm promised (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_%c_BYTES)",
                    "abcd"[i], pointers[i], algorithm.alignment[i], "ABCD"[i]);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }
const char* cublasLtGetStatusName(cublasStatus_t status) { return cublasGetStatusName(status); }
const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusString(status); }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext{current_device()};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  run_all_streams();
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  *found = 0;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (requested < 1 || preference == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Matmul matmul = describe("cublasLtMatmulAlgoGetHeuristic", description, a, b, c, d);
  const cublasStatus_t status = check_layouts(matmul);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  Algorithm algorithm = {};
  algorithm.magic = Algorithm::kMagic;
  algorithm.workspace_bytes = std::min<uint64_t>(preference->workspace_bytes, kWorkspaceBytes);
  std::copy_n(preference->alignment, 4, algorithm.alignment);
  results[0] = {};
  std::memcpy(&results[0].algo, &algorithm, sizeof algorithm);
  results[0].workspaceSize = algorithm.workspace_bytes;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  results[0].wavesCount = 1;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                              const void* alpha, const void* A, cublasLtMatrixLayout_t a,
                              const void* B, cublasLtMatrixLayout_t b, const void* beta,
                              const void* C, cublasLtMatrixLayout_t c, void* D,
                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  Matmul matmul = describe("cublasLtMatmul", description, a, b, c, d);
  if (handle->device != current_device()) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: a handle of device %d on device %d", matmul.who,
                  handle->device, current_device());
  }
  matmul.a = A;
  matmul.b = B;
  matmul.c = C;
  matmul.d = D;
  matmul.alpha = alpha;
  matmul.beta = beta;
  if (algo == nullptr) return enqueue_matmul(matmul, stream);
  Algorithm algorithm;
  std::memcpy(&algorithm, algo, sizeof algorithm);
  cublasStatus_t status = check_algorithm(algorithm, matmul, workspace, workspace_bytes);
  if (status == CUBLAS_STATUS_SUCCESS) status = enqueue_matmul(matmul, stream);
  if (status != CUBLAS_STATUS_SUCCESS || algorithm.workspace_bytes == 0) return status;
  enqueue(stream, [workspace, algorithm] {
    const OpenMemory open;  // nobody may expect to find in it what was there before
    std::memset(workspace, 0xFF, algorithm.workspace_bytes);
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
