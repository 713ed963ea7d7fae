// cublasLtMatmul against loops in double: every epilogue, type, transposition and batch.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <random>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

size_t bytes_of(cudaDataType type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

void put(char* to, cudaDataType type, double value) {
  if (type == CUDA_R_64F) *reinterpret_cast<double*>(to) = value;
  if (type == CUDA_R_32F) *reinterpret_cast<float*>(to) = static_cast<float>(value);
  if (type == CUDA_R_16BF) *reinterpret_cast<__nv_bfloat16*>(to) = __nv_bfloat16(value);
  if (type == CUDA_R_16F) *reinterpret_cast<__half*>(to) = __half(value);
}

double take(const char* from, cudaDataType type) {
  if (type == CUDA_R_64F) return *reinterpret_cast<const double*>(from);
  if (type == CUDA_R_32F) return *reinterpret_cast<const float*>(from);
  if (type == CUDA_R_16BF) return static_cast<float>(*reinterpret_cast<const __nv_bfloat16*>(from));
  return static_cast<float>(*reinterpret_cast<const __half*>(from));
}

/// A batch of matrices on the device, with its values, as rounded to the type, on the host.
class Matrix {
 public:
  Matrix(cudaDataType type, int rows, int cols, int batch, bool by_row, int padding, unsigned seed)
      : type_(type),
        rows_(rows),
        by_row_(by_row),
        ld_((by_row ? cols : rows) + padding),
        stride_(ld_ * (by_row ? rows : cols) + 3 * padding),
        bytes_(static_cast<size_t>(stride_ * batch) * bytes_of(type)),
        device_(bytes_.size()) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (size_t i = 0; i < bytes_.size(); i += bytes_of(type))
      put(&bytes_[i], type, uniform(random));
    device_.set(bytes_);
    cublasLtMatrixLayoutCreate(&layout_, type, static_cast<uint64_t>(rows),
                               static_cast<uint64_t>(cols), ld_);
    const int32_t order = by_row ? CUBLASLT_ORDER_ROW : CUBLASLT_ORDER_COL;
    const int64_t stride = stride_;
    cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order);
    cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                     sizeof batch);
    cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                     sizeof stride);
  }
  ~Matrix() { cublasLtMatrixLayoutDestroy(layout_); }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  double at(int batch, int row, int col) const {
    const int place = batch * stride_ + (by_row_ ? row * ld_ + col : col * ld_ + row);
    return take(&bytes_[static_cast<size_t>(place) * bytes_of(type_)], type_);
  }
  void fetch() { bytes_ = device_.get(); }
  char* data() const { return device_.data(); }
  int64_t ld() const { return ld_; }
  int64_t stride() const { return stride_; }
  cublasLtMatrixLayout_t layout() const { return layout_; }

 private:
  cudaDataType type_;
  int rows_;
  bool by_row_;
  int ld_, stride_;
  std::vector<char> bytes_;
  DeviceArray<char> device_;
  cublasLtMatrixLayout_t layout_ = nullptr;
};

struct Case {
  cudaDataType in = CUDA_R_32F, out = CUDA_R_32F;
  bool turn_a = false, turn_b = false, by_row = false;
  int epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  int batch = 1;
  int m = 24, n = 7, k = 19;
  double alpha = 1, beta = 0;
};

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x) { return (gelu(x + 1e-6) - gelu(x - 1e-6)) / 2e-6; }

class CublasLt : public SimtTest {
 protected:
  void SetUp() override {
    SimtTest::SetUp();
    cublasLtCreate(&handle_);
  }
  void TearDown() override {
    cublasLtDestroy(handle_);
    SimtTest::TearDown();
  }

  template <class T>
  static void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute,
                  T value) {
    ASSERT_EQ(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }

  void check(const Case& c);

  cublasLtHandle_t handle_ = nullptr;
};

void CublasLt::check(const Case& c) {
  SCOPED_TRACE(::testing::Message() << "types " << c.in << " " << c.out << ", turned " << c.turn_a
                                    << " " << c.turn_b << ", epilogue " << c.epilogue << ", batch "
                                    << c.batch << ", beta " << c.beta << ", by row " << c.by_row);
  const bool wide = c.in == CUDA_R_64F;
  Matrix a(c.in, c.turn_a ? c.k : c.m, c.turn_a ? c.m : c.k, c.batch, c.by_row, 8, 1);
  Matrix b(c.in, c.turn_b ? c.n : c.k, c.turn_b ? c.k : c.n, c.batch, c.by_row, 8, 2);
  Matrix d(c.out, c.m, c.n, c.batch, c.by_row, 8, 3);
  const Matrix before(c.out, c.m, c.n, c.batch, c.by_row, 8, 3);
  Matrix aux(c.out, c.m, c.n, c.batch, false, 8, 4);
  Matrix bias(c.out, c.epilogue == CUBLASLT_EPILOGUE_BGRADB ? c.n : c.m, 1, c.batch, false, 0, 5);

  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatmulDescCreate(&description, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                           wide ? CUDA_R_64F : CUDA_R_32F);
  set<int32_t>(description, CUBLASLT_MATMUL_DESC_TRANSA, c.turn_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set<int32_t>(description, CUBLASLT_MATMUL_DESC_TRANSB, c.turn_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<uint32_t>(c.epilogue));
  set<void*>(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data());
  set(description, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, bias.stride());
  set<int32_t>(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, c.out);
  set<void*>(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux.data());
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux.ld());
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, aux.stride());
  set<int32_t>(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, c.out);
  const float narrow[2] = {static_cast<float>(c.alpha), static_cast<float>(c.beta)};
  const void* alpha = wide ? static_cast<const void*>(&c.alpha) : &narrow[0];
  const void* beta = wide ? static_cast<const void*>(&c.beta) : &narrow[1];
  ASSERT_EQ(
      cublasLtMatmul(handle_, description, alpha, a.data(), a.layout(), b.data(), b.layout(), beta,
                     d.data(), d.layout(), d.data(), d.layout(), nullptr, nullptr, 0, nullptr),
      CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulDescDestroy(description);
  const Matrix aux_before(c.out, c.m, c.n, c.batch, false, 8, 4);
  const Matrix bias_before(c.out, bias.stride(), 1, c.batch, false, 0, 5);
  d.fetch();
  aux.fetch();
  bias.fetch();

  // Of the sums and of one rounding to the type.
  const double tolerance = wide                  ? 1e-12
                           : c.out == CUDA_R_32F ? 2e-5
                           : c.out == CUDA_R_16F ? 4e-3
                                                 : 3e-2;
  const auto close = [&](double got, double want) {
    return std::abs(got - want) <= tolerance * (1 + std::abs(want));
  };
  const auto a_at = [&](int batch, int i, int j) {
    return c.turn_a ? a.at(batch, j, i) : a.at(batch, i, j);
  };
  const auto b_at = [&](int batch, int i, int j) {
    return c.turn_b ? b.at(batch, j, i) : b.at(batch, i, j);
  };
  const bool dgelu = (c.epilogue & 64) != 0, has_gelu = (c.epilogue & CUBLASLT_EPILOGUE_GELU) != 0;
  for (int batch = 0; batch < c.batch; ++batch) {
    for (int i = 0; i < c.m; ++i) {
      double row_sum = 0, a_sum = 0;
      for (int j = 0; j < c.n; ++j) {
        double x = 0;
        for (int p = 0; p < c.k; ++p) x += a_at(batch, i, p) * b_at(batch, p, j);
        x = c.alpha * x + c.beta * before.at(batch, i, j);
        if (c.epilogue & CUBLASLT_EPILOGUE_BIAS) x += bias_before.at(batch, i, 0);
        if (has_gelu && (c.epilogue & 128)) {
          ASSERT_TRUE(close(aux.at(batch, i, j), x));
        }
        if (has_gelu) x = gelu(x);
        if (dgelu) x *= gelu_slope(aux_before.at(batch, i, j));
        row_sum += x;
        ASSERT_TRUE(close(d.at(batch, i, j), x) ||
                    (dgelu && std::abs(d.at(batch, i, j) - x) < 1e-7))
            << i << ", " << j << ": " << d.at(batch, i, j) << " instead of " << x;
      }
      for (int p = 0; p < c.k; ++p) a_sum += a_at(batch, i, p);
      if (c.epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD) {
        ASSERT_NEAR(bias.at(batch, i, 0), row_sum, (tolerance + 1e-9) * 10);
      }
      if (c.epilogue == CUBLASLT_EPILOGUE_BGRADA) {
        ASSERT_NEAR(bias.at(batch, i, 0), a_sum, tolerance * 10);
      }
    }
    for (int j = 0; j < c.n && c.epilogue == CUBLASLT_EPILOGUE_BGRADB; ++j) {
      double b_sum = 0;
      for (int p = 0; p < c.k; ++p) b_sum += b_at(batch, p, j);
      ASSERT_NEAR(bias.at(batch, j, 0), b_sum, tolerance * 10);
    }
  }
}

constexpr int kEpilogues[] = {CUBLASLT_EPILOGUE_DEFAULT,  CUBLASLT_EPILOGUE_BIAS,
                              CUBLASLT_EPILOGUE_GELU,     CUBLASLT_EPILOGUE_GELU_BIAS,
                              CUBLASLT_EPILOGUE_GELU_AUX, CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                              CUBLASLT_EPILOGUE_DGELU,    CUBLASLT_EPILOGUE_DGELU_BGRAD,
                              CUBLASLT_EPILOGUE_BGRADA,   CUBLASLT_EPILOGUE_BGRADB};
constexpr std::pair<cudaDataType, cudaDataType> kTypes[] = {
    {CUDA_R_32F, CUDA_R_32F},  {CUDA_R_64F, CUDA_R_64F}, {CUDA_R_16BF, CUDA_R_16BF},
    {CUDA_R_16BF, CUDA_R_32F}, {CUDA_R_16F, CUDA_R_16F}, {CUDA_R_16F, CUDA_R_32F}};

TEST_F(CublasLt, EveryEpilogueTypeTranspositionAndBatch) {
  for (const int epilogue : kEpilogues) {
    for (const auto& [in, out] : kTypes) {
      for (const int turns : {0, 1, 2, 3}) {
        for (const int batch : {1, 3}) {
          Case c;
          c.in = in;
          c.out = out;
          c.turn_a = turns & 1;
          c.turn_b = turns & 2;
          c.epilogue = epilogue;
          c.batch = batch;
          c.alpha = batch == 1 ? 1 : 0.75;
          c.beta = batch == 1 ? 0 : -0.5;
          check(c);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_F(CublasLt, RowMajorOrder) {
  for (const auto& [in, out] : kTypes) {
    for (const int turns : {0, 1, 2, 3}) {
      Case c;
      c.in = in;
      c.out = out;
      c.turn_a = turns & 1;
      c.turn_b = turns & 2;
      c.by_row = true;
      c.batch = 2;
      c.beta = 2;
      check(c);
    }
  }
}

TEST_F(CublasLt, NoDepthGivesOnlyTheBias) {
  Case c;
  c.k = 0;
  c.epilogue = CUBLASLT_EPILOGUE_BIAS;
  check(c);
}

TEST_F(CublasLt, GemmExMultipliesColumnMajorMatrices) {
  cublasHandle_t handle = nullptr;
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  DeviceArray<float> a({1, 2, 3, 4, 5, 6}), b({1, 0, -1, 2, 1, 0}), c({1, 1, 1, 1});
  const float alpha = 2, beta = 1;  // a is 2 x 3, b is stored as the transpose of 3 x 2
  ASSERT_EQ(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_T, 2, 2, 3, &alpha, a.data(), CUDA_R_32F, 2,
                         b.data(), CUDA_R_32F, 2, &beta, c.data(), CUDA_R_32F, 2,
                         CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  // b = (1 0; -1 2; 1 0)
  EXPECT_EQ(c.get(), (std::vector<float>{7, 9, 13, 17}));
  EXPECT_EQ(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace simt
