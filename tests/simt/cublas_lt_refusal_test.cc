// What cublasLtMatmul refuses, and how the messages read.
#include <cublasLt.h>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

using ::testing::HasSubstr;

/// One product of 16 x 16 float32 matrices, with whatever a test changes in it.
class CublasLtRefusal : public SimtTest {
 protected:
  void SetUp() override {
    SimtTest::SetUp();
    cublasLtCreate(&handle_);
    cublasLtMatmulDescCreate(&description_, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&layout_, CUDA_R_32F, 16, 16, 16);
  }
  void TearDown() override {
    cublasLtMatmulDescDestroy(description_);
    cublasLtMatrixLayoutDestroy(layout_);
    cublasLtDestroy(handle_);
    SimtTest::TearDown();
  }
  template <class T>
  void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, T value) {
    ASSERT_EQ(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }
  cublasStatus_t multiply(const float* a, float* d, const cublasLtMatmulAlgo_t* algorithm = nullptr,
                          void* workspace = nullptr, size_t workspace_bytes = 0) {
    const float alpha = 1, beta = 0;
    return cublasLtMatmul(handle_, description_, &alpha, a, layout_, b_.data(), layout_, &beta, d,
                          layout_, d, layout_, algorithm, workspace, workspace_bytes, nullptr);
  }

  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t description_ = nullptr;
  cublasLtMatrixLayout_t layout_ = nullptr;
  DeviceArray<float> a_{std::vector<float>(256, 1)}, b_{std::vector<float>(256, 2)}, d_{256};
};

TEST_F(CublasLtRefusal, HostPointer) {
  float host[256] = {};
  EXPECT_EQ(multiply(host, d_.data()), CUBLAS_STATUS_INVALID_VALUE);
  const std::string message = take_report();
  EXPECT_THAT(message, HasSubstr("cublasLtMatmul: a, 16 x 16 of float32"));
  EXPECT_THAT(message, HasSubstr("a host pointer?"));
}

TEST_F(CublasLtRefusal, OperandLeavesItsAllocation) {
  EXPECT_EQ(multiply(a_.data(), d_.data() + 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(take_report(), HasSubstr("takes 1024 bytes, which leave its allocation"));
}

TEST_F(CublasLtRefusal, LeadingDimensionTooSmall) {
  const int64_t ld = 15;
  cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof ld);
  EXPECT_EQ(multiply(a_.data(), d_.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(take_report(), HasSubstr("the leading dimension must be at least 16"));
}

TEST_F(CublasLtRefusal, AuxiliaryMatrixWhoseLeadingDimensionIsNoMultipleOf8) {
  set<uint32_t>(description_, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU_AUX);
  set<void*>(description_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, b_.data());
  set<int64_t>(description_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 17);
  EXPECT_EQ(multiply(a_.data(), d_.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(take_report(), HasSubstr("multiples of 8"));
}

TEST_F(CublasLtRefusal, BiasWithoutPointer) {
  set<uint32_t>(description_, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  EXPECT_EQ(multiply(a_.data(), d_.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(take_report(), HasSubstr("CUBLASLT_MATMUL_DESC_BIAS_POINTER"));
}

TEST_F(CublasLtRefusal, TypesThatCublasLacks) {
  set<int32_t>(description_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
  set<uint32_t>(description_, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  set<void*>(description_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, b_.data());
  EXPECT_EQ(multiply(a_.data(), d_.data()), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_THAT(take_report(), HasSubstr("a bias of bfloat16 with d of float32"));
}

TEST_F(CublasLtRefusal, AlgorithmHoldsThePromisesOfItsPreference) {
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulPreferenceCreate(&preference);
  const uint64_t most = 1 << 20;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                       sizeof most);
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  ASSERT_EQ(cublasLtMatmulAlgoGetHeuristic(handle_, description_, layout_, layout_, layout_,
                                           layout_, preference, 1, &result, &found),
            CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulPreferenceDestroy(preference);
  ASSERT_EQ(found, 1);
  ASSERT_LE(result.workspaceSize, most);
  DeviceArray<char> workspace(result.workspaceSize);
  EXPECT_EQ(multiply(a_.data(), d_.data(), &result.algo, workspace.data(), workspace.size()),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d_.get(), std::vector<float>(256, 32));

  EXPECT_EQ(multiply(a_.data(), d_.data(), &result.algo), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(take_report(), HasSubstr("the workspace"));
  DeviceArray<float> odd(257);
  EXPECT_EQ(multiply(a_.data(), odd.data() + 1, &result.algo, workspace.data(), workspace.size()),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(take_report(), HasSubstr("CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES"));
}

TEST_F(CublasLtRefusal, RunsInStreamOrder) {
  config().deferred = true;
  cudaMemsetAsync(d_.data(), 0, 1024, nullptr);
  ASSERT_EQ(multiply(a_.data(), d_.data()), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(d_.data(), a_.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(a_.get(), std::vector<float>(256, 1024));
}

}  // namespace
}  // namespace simt
