// cuBLASLt: handles, descriptors, and the choice of an algorithm.
#include "cublasLt.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/matmul.h"
#include "simt/src/memory.h"
#include "simt/src/stream.h"

struct cublasLtContext {
  int device = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  simt::MatrixLayout layout;
};
struct cublasLtMatmulDescOpaque_t {
  simt::MatmulDescription description;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d
};

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

template <class T>
cublasStatus_t set(T& attribute, const void* value, size_t bytes, const char* who) {
  if (value == nullptr || bytes != sizeof attribute) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: a value of %zu bytes, this attribute has %zu",
                  who, bytes, sizeof attribute);
  }
  std::memcpy(&attribute, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t no_such_attribute(const char* who, int attribute) {
  return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "%s: attribute %d is not modelled", who, attribute);
}

bool known(uint32_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DGELU:
    case CUBLASLT_EPILOGUE_DGELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB:
      return true;
    default:
      return false;
  }
}

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

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t;
  (*layout)->layout.type = type;
  (*layout)->layout.rows = rows;
  (*layout)->layout.cols = cols;
  (*layout)->layout.ld = ld;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t bytes) {
  constexpr const char* kWho = "cublasLtMatrixLayoutSetAttribute";
  MatrixLayout& l = layout->layout;
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_ORDER: {
      const cublasStatus_t status = set(l.order, value, bytes, kWho);
      if (status != CUBLAS_STATUS_SUCCESS) return status;
      if (l.order == CUBLASLT_ORDER_COL || l.order == CUBLASLT_ORDER_ROW) return status;
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "%s: order %d is not modelled", kWho, l.order);
    }
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return set(l.rows, value, bytes, kWho);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return set(l.cols, value, bytes, kWho);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return set(l.ld, value, bytes, kWho);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return set(l.batch_count, value, bytes, kWho);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return set(l.batch_stride, value, bytes, kWho);
    default:
      return no_such_attribute(kWho, attribute);
  }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description,
                                        cublasComputeType_t compute, cudaDataType_t scale) {
  *description = new cublasLtMatmulDescOpaque_t;
  (*description)->description.compute = compute;
  (*description)->description.scale = scale;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  constexpr const char* kWho = "cublasLtMatmulDescSetAttribute";
  MatmulDescription& d = description->description;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return set(d.pointer_mode, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(d.transa, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(d.transb, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: {
      const cublasStatus_t status = set(d.epilogue, value, bytes, kWho);
      if (status != CUBLAS_STATUS_SUCCESS || known(d.epilogue)) return status;
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "%s: epilogue %u is not modelled", kWho,
                    d.epilogue);
    }
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(d.bias, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return set(d.bias_batch_stride, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set(d.bias_type, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(d.aux, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(d.aux_ld, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
      return set(d.aux_batch_stride, value, bytes, kWho);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE:
      return set(d.aux_type, value, bytes, kWho);
    default:
      return no_such_attribute(kWho, attribute);
  }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  constexpr const char* kWho = "cublasLtMatmulPreferenceSetAttribute";
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return set(preference->workspace_bytes, value, bytes, kWho);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: {
      uint32_t& promised =
          preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];
      const cublasStatus_t status = set(promised, value, bytes, kWho);
      if (status != CUBLAS_STATUS_SUCCESS || promised != 0) return status;
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: an alignment of 0 bytes", kWho);
    }
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT:
    case CUBLASLT_MATMUL_PREF_IMPL_MASK:
      return CUBLAS_STATUS_SUCCESS;  // there is one algorithm to choose from
    default:
      return no_such_attribute(kWho, attribute);
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int requested, cublasLtMatmulHeuristicResult_t results[],
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
