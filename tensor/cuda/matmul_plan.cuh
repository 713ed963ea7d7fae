// cuBLASLt: descriptors and algorithms, found once per shape and kept.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <map>
#include <memory>
#include <tuple>

#include "tensor/cuda/launch.cuh"
#include "tensor/kernels/matrix_layout.h"

namespace shardgrad::cuda {

/// @throws Failure with cuBLAS's words unless `status` is success.
inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Failure{fmt::format("{}: {}", what, cublasLtGetStatusString(status))};
}

/// What cuBLASLt does to a product before it is stored.
enum class Epilogue {
  None,
  Bias,         ///< adds a bias to every row
  GeluAuxBias,  ///< adds a bias, stores that too, and applies GELU in its tanh form
};

/// One product c [m, n] = a [m, k] b [k, n] of matrices as they lie in row-major tensors.
struct MatmulProblem {
  std::int64_t m, n, k;
  MatrixLayout a, b;
  std::int64_t c_leading;
  DType dtype;    ///< of a and b, and of the bias
  DType c_dtype;  ///< dtype, or its accumulation dtype
  Epilogue epilogue;
  bool tf32;
  int a_alignment, b_alignment, c_alignment;  ///< bytes; see alignment_of()

  auto key() const {
    return std::make_tuple(m, n, k, a.row_major, a.leading, b.row_major, b.leading, c_leading,
                           dtype, c_dtype, epilogue, tf32, a_alignment, b_alignment, c_alignment);
  }
};

/// The largest power of two, up to 256, that divides an address: algorithms depend on it.
inline int alignment_of(const void* pointer) {
  int alignment = 1;
  while (alignment < 256 && reinterpret_cast<std::uintptr_t>(pointer) % (2 * alignment) == 0) {
    alignment *= 2;
  }
  return alignment;
}

/// cuBLASLt's description of a MatmulProblem and the algorithm that it advises. cuBLASLt thinks in
/// column-major matrices, which row-major ones are the transposes of: it is told to compute
/// c^T = b^T a^T.
struct MatmulPlan {
  MatmulPlan() = default;
  MatmulPlan(const MatmulPlan&) = delete;
  MatmulPlan& operator=(const MatmulPlan&) = delete;
  ~MatmulPlan() {
    if (first != nullptr) cublasLtMatrixLayoutDestroy(first);
    if (second != nullptr) cublasLtMatrixLayoutDestroy(second);
    if (result != nullptr) cublasLtMatrixLayoutDestroy(result);
    if (description != nullptr) cublasLtMatmulDescDestroy(description);
  }

  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool supported = false;  ///< false: cuBLASLt has no algorithm for it
};

/// One host thread's handle on one device, its workspace and its plans.
class CublasLt {
 public:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what NVIDIA advises

  /// That of the calling thread for `device`, which is its current one.
  static CublasLt& of_this_thread(int device);

  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// The plan of `problem` for this very bias and place of the values before the GELU; null where
  /// its epilogue takes none. Valid until the next call.
  const MatmulPlan& plan(const MatmulProblem& problem, const void* bias, void* pre_activation);

  cublasLtHandle_t handle() const { return handle_; }
  void* workspace() const { return workspace_; }

 private:
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<decltype(MatmulProblem{}.key()), std::unique_ptr<MatmulPlan>> plans_;
};

}  // namespace shardgrad::cuda
