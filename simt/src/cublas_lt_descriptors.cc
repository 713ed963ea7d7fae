// cuBLASLt: the descriptors of layouts, operations and preferences.
#include <cstring>

#include "simt/src/cublas_lt.h"

using namespace simt;

namespace {

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

}  // namespace

extern "C" {

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

}  // extern "C"
