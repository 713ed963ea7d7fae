#include "tensor/cuda/matmul_plan.cuh"

namespace shardgrad::cuda {
namespace {

cudaDataType type_of(DType dtype) {
  if (dtype == DType::Float64) return CUDA_R_64F;
  return dtype == DType::BFloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

cublasComputeType_t compute_type(const MatmulProblem& problem) {
  if (problem.dtype == DType::Float64) return CUBLAS_COMPUTE_64F;
  return problem.tf32 && problem.dtype == DType::Float32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                         : CUBLAS_COMPUTE_32F;
}

cublasLtEpilogue_t epilogue_of(const MatmulProblem& problem) {
  switch (problem.epilogue) {
    case Epilogue::None:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::Bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::GeluAuxBias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

template <class Value>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, Value value) {
  check(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof(value)),
        "cublasLtMatmulDescSetAttribute");
}

// The layout of `rows` x `columns` row-major, or its transpose's, as column-major memory.
cublasLtMatrixLayout_t describe(DType dtype, std::int64_t rows, std::int64_t columns,
                                const MatrixLayout& layout) {
  cublasLtMatrixLayout_t described = nullptr;
  const std::int64_t line = layout.row_major ? columns : rows;
  const std::int64_t lines = layout.row_major ? rows : columns;
  check(cublasLtMatrixLayoutCreate(&described, type_of(dtype), static_cast<std::uint64_t>(line),
                                   static_cast<std::uint64_t>(lines), layout.leading),
        "cublasLtMatrixLayoutCreate");
  return described;
}

// Whether cuBLASLt has an algorithm, which is then in the plan.
bool find_algorithm(cublasLtHandle_t handle, const MatmulProblem& problem, MatmulPlan& plan) {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{CublasLt::kWorkspaceBytes});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
         static_cast<std::uint32_t>(problem.b_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
         static_cast<std::uint32_t>(problem.a_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
         static_cast<std::uint32_t>(problem.c_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
         static_cast<std::uint32_t>(problem.c_alignment));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, plan.description, plan.first, plan.second, plan.result,
                                     plan.result, preference, 1, &best, &found);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  plan.algorithm = best.algo;
  return found > 0;
}

// All but the pointers, which differ from call to call, and the algorithm.
void describe(const MatmulProblem& problem, MatmulPlan& plan) {
  const DType scale = accumulation_dtype(problem.dtype);
  check(cublasLtMatmulDescCreate(&plan.description, compute_type(problem), type_of(scale)),
        "cublasLtMatmulDescCreate");
  const auto operation = [](const MatrixLayout& layout) {
    return static_cast<std::int32_t>(layout.row_major ? CUBLAS_OP_N : CUBLAS_OP_T);
  };
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSA, operation(problem.b));
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSB, operation(problem.a));
  set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE,
      static_cast<std::uint32_t>(epilogue_of(problem)));
  if (problem.epilogue != Epilogue::None) {
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
        static_cast<std::int32_t>(type_of(problem.dtype)));
  }
  if (problem.epilogue == Epilogue::GeluAuxBias) {
    set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, problem.n);
  }
  plan.first = describe(problem.dtype, problem.k, problem.n, problem.b);
  plan.second = describe(problem.dtype, problem.m, problem.k, problem.a);
  plan.result = describe(problem.c_dtype, problem.m, problem.n, {true, problem.c_leading});
}

}  // namespace

CublasLt& CublasLt::of_this_thread(int device) {
  thread_local std::map<int, CublasLt> handles;  // of the thread, as its stream is
  return handles[device];
}

CublasLt::CublasLt() {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
  check(cudaMalloc(&workspace_, kWorkspaceBytes), "allocating the workspace of cuBLASLt");
}

// Errors do not count here: at the end of the process the CUDA runtime may be gone before.
CublasLt::~CublasLt() {
  plans_.clear();
  cudaFree(workspace_);
  cublasLtDestroy(handle_);
}

const MatmulPlan& CublasLt::plan(const MatmulProblem& problem, const void* bias,
                                 void* pre_activation) {
  std::unique_ptr<MatmulPlan>& plan = plans_[problem.key()];
  const bool is_new = plan == nullptr;
  if (is_new) {
    auto described = std::make_unique<MatmulPlan>();
    describe(problem, *described);
    plan = std::move(described);
  }
  if (bias != nullptr) set(plan->description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  if (pre_activation != nullptr) {
    set(plan->description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, pre_activation);
  }
  if (is_new) plan->supported = find_algorithm(handle_, problem, *plan);
  return *plan;
}

}  // namespace shardgrad::cuda
