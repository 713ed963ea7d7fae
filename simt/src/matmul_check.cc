// What cuBLAS refuses, and what it would not notice: operands outside their allocations.
#include <cstdarg>
#include <cstdio>
#include <string>

#include "simt/src/error.h"
#include "simt/src/matmul.h"
#include "simt/src/memory.h"

namespace simt {
namespace {

// cuBLASLt vectorizes its access to GELU's input.
constexpr size_t kAuxAlignment = 16;
constexpr int64_t kAuxLdMultiple = 8;

const char* text_of(int32_t type) {
  switch (type) {
    case CUDA_R_32F:
      return "float32";
    case CUDA_R_64F:
      return "float64";
    case CUDA_R_16F:
      return "float16";
    case CUDA_R_16BF:
      return "bfloat16";
    default:
      return "another type";
  }
}

cublasStatus_t check_types(const Matmul& m) {
  const MatmulDescription& description = m.description;
  const cudaDataType in = m.a_layout.type, out = m.d_layout.type;
  const bool wide = in == CUDA_R_64F;
  bool good = m.b_layout.type == in && m.c_layout.type == out && element_bytes(in) != 0;
  good = good && description.scale == (wide ? CUDA_R_64F : CUDA_R_32F);
  switch (description.compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      good = good && wide && out == CUDA_R_64F;
      break;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      good = good && !wide && (out == in || out == CUDA_R_32F);
      break;
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      good = good && in == CUDA_R_32F && out == CUDA_R_32F;
      break;
    default:
      good = false;
  }
  if (!good) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED,
                  "%s: a of %s, b of %s, c of %s and d of %s with compute type %d and scale type "
                  "%s is not among what cuBLAS supports",
                  m.who, text_of(m.a_layout.type), text_of(m.b_layout.type),
                  text_of(m.c_layout.type), text_of(out), description.compute,
                  text_of(description.scale));
  }
  const auto same_as_d = [out](int32_t type) { return type == -1 || type == out; };
  if (description.uses_bias() && !same_as_d(description.bias_type)) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "%s: a bias of %s with d of %s", m.who,
                  text_of(description.bias_type), text_of(out));
  }
  if (description.uses_aux() && !same_as_d(description.aux_type)) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "%s: an auxiliary matrix of %s with d of %s", m.who,
                  text_of(description.aux_type), text_of(out));
  }
  return CUBLAS_STATUS_SUCCESS;
}

/// What surrounds a matrix in messages: "a, 3 x 4 of float32 with leading dimension 3".
std::string text_of(const char* name, const MatrixLayout& layout) {
  return std::string(name) + ", " + std::to_string(layout.rows) + " x " +
         std::to_string(layout.cols) + " of " + text_of(layout.type) + " with leading dimension " +
         std::to_string(layout.ld);
}

cublasStatus_t check_layout(const Matmul& m, const char* name, const MatrixLayout& layout,
                            uint64_t rows, uint64_t cols) {
  if (layout.rows != rows || layout.cols != cols) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "%s: %s; for this d and these transpositions it must be %llu x %llu", m.who,
                  text_of(name, layout).c_str(), static_cast<unsigned long long>(rows),
                  static_cast<unsigned long long>(cols));
  }
  const uint64_t least = layout.order == CUBLASLT_ORDER_COL ? rows : cols;
  if (layout.ld < static_cast<int64_t>(least)) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "%s: %s; the leading dimension must be at least %llu", m.who,
                  text_of(name, layout).c_str(), static_cast<unsigned long long>(least));
  }
  if (layout.batch_count != m.d_layout.batch_count || layout.batch_count < 1) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: a batch of %d of %s and of %d of d", m.who,
                  layout.batch_count, name, m.d_layout.batch_count);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_epilogue(const Matmul& m) {
  const MatmulDescription& description = m.description;
  if (description.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_SUCCESS;
  if (m.d_layout.order != CUBLASLT_ORDER_COL) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "%s: an epilogue needs d in column-major order",
                  m.who);
  }
  if (description.uses_bias() && description.bias == nullptr) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "%s: the epilogue needs CUBLASLT_MATMUL_DESC_BIAS_POINTER", m.who);
  }
  if (!description.uses_aux()) return CUBLAS_STATUS_SUCCESS;
  if (description.aux == nullptr) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "%s: the epilogue needs CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER", m.who);
  }
  if (description.aux_ld < static_cast<int64_t>(m.rows()) ||
      description.aux_ld % kAuxLdMultiple != 0 ||
      description.aux_batch_stride % kAuxLdMultiple != 0) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "%s: the auxiliary matrix has leading dimension %lld and batch stride %lld; the "
                  "leading dimension must be at least %llu, and both multiples of 8",
                  m.who, static_cast<long long>(description.aux_ld),
                  static_cast<long long>(description.aux_batch_stride),
                  static_cast<unsigned long long>(m.rows()));
  }
  return CUBLAS_STATUS_SUCCESS;
}

/// `elements` from `pointer` to the last that is used.
cublasStatus_t check_memory(const Matmul& m, const std::string& what, const void* pointer,
                            uint64_t elements, size_t bytes_of_element, size_t alignment) {
  if (elements == 0) return CUBLAS_STATUS_SUCCESS;
  const size_t bytes = elements * bytes_of_element;
  const std::string fault = fault_of(pointer, bytes);
  if (!fault.empty()) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: %s (%p), %s", m.who, what.c_str(), pointer,
                  fault.c_str());
  }
  if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: %s (%p), must be aligned to %zu bytes", m.who,
                  what.c_str(), pointer, alignment);
  }
  return CUBLAS_STATUS_SUCCESS;
}

uint64_t strided_elements(uint64_t elements, int64_t batch_stride, int32_t batch_count) {
  return elements + static_cast<uint64_t>(batch_stride) * static_cast<uint64_t>(batch_count - 1);
}

cublasStatus_t check_matrix(const Matmul& m, const char* name, const MatrixLayout& layout,
                            const void* pointer) {
  if (layout.rows == 0 || layout.cols == 0) return CUBLAS_STATUS_SUCCESS;
  const bool by_column = layout.order == CUBLASLT_ORDER_COL;
  const uint64_t line = by_column ? layout.rows : layout.cols;
  const uint64_t lines = by_column ? layout.cols : layout.rows;
  const uint64_t elements = static_cast<uint64_t>(layout.ld) * (lines - 1) + line;
  const size_t bytes = element_bytes(layout.type);
  return check_memory(m, text_of(name, layout), pointer,
                      strided_elements(elements, layout.batch_stride, layout.batch_count), bytes,
                      bytes);
}

}  // namespace

size_t element_bytes(cudaDataType type) {
  switch (type) {
    case CUDA_R_32F:
      return 4;
    case CUDA_R_64F:
      return 8;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    default:
      return 0;  // not a type that is multiplied here
  }
}

cublasStatus_t refuse(cublasStatus_t status, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report(text);
  return status;
}

cublasStatus_t check_layouts(const Matmul& m) {
  const MatmulDescription& description = m.description;
  const bool turn_a = description.transa != CUBLAS_OP_N;
  const bool turn_b = description.transb != CUBLAS_OP_N;
  const uint64_t rows = m.rows(), cols = m.cols(), depth = m.depth();
  cublasStatus_t status = check_types(m);
  const auto check = [&](const char* name, const MatrixLayout& layout, uint64_t r, uint64_t c) {
    if (status == CUBLAS_STATUS_SUCCESS) status = check_layout(m, name, layout, r, c);
  };
  check("a", m.a_layout, turn_a ? depth : rows, turn_a ? rows : depth);
  check("b", m.b_layout, turn_b ? cols : depth, turn_b ? depth : cols);
  check("c", m.c_layout, rows, cols);
  check("d", m.d_layout, rows, cols);
  return status != CUBLAS_STATUS_SUCCESS ? status : check_epilogue(m);
}

cublasStatus_t check_operands(const Matmul& m) {
  const MatmulDescription& description = m.description;
  if (m.rows() == 0 || m.cols() == 0) return CUBLAS_STATUS_SUCCESS;
  cublasStatus_t status = check_matrix(m, "a", m.a_layout, m.a);
  const auto check = [&](const char* name, const MatrixLayout& layout, const void* pointer) {
    if (status == CUBLAS_STATUS_SUCCESS) status = check_matrix(m, name, layout, pointer);
  };
  check("b", m.b_layout, m.b);
  if (m.c != nullptr) check("c", m.c_layout, m.c);
  check("d", m.d_layout, m.d);
  const size_t bytes = element_bytes(m.d_layout.type);
  const int32_t batch = m.d_layout.batch_count;
  if (status == CUBLAS_STATUS_SUCCESS && description.uses_bias()) {
    const uint64_t elements = m.bias_elements();
    status = check_memory(
        m, "the bias, " + std::to_string(elements) + " elements", description.bias,
        strided_elements(elements, description.bias_batch_stride, batch), bytes, bytes);
  }
  if (status == CUBLAS_STATUS_SUCCESS && description.uses_aux()) {
    const uint64_t elements = static_cast<uint64_t>(description.aux_ld) * (m.cols() - 1) + m.rows();
    status = check_memory(m, "the auxiliary matrix", description.aux,
                          strided_elements(elements, description.aux_batch_stride, batch), bytes,
                          kAuxAlignment);
  }
  return status;
}

}  // namespace simt
