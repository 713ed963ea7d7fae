#include "simt/src/matmul.h"

#include <Eigen/Core>
#include <cmath>
#include <cstring>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/memory.h"
#include "simt/src/stream.h"

namespace simt {
namespace {

template <class S>
using Dense = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using View = Eigen::Map<const Dense<S>, 0, Eigen::OuterStride<>>;
using Index = Eigen::Index;

template <class S>
S load(const void* from, cudaDataType type, Index i) {
  switch (type) {
    case CUDA_R_32F:
      return static_cast<S>(static_cast<const float*>(from)[i]);
    case CUDA_R_64F:
      return static_cast<S>(static_cast<const double*>(from)[i]);
    case CUDA_R_16F:
      return static_cast<S>(HalfFormat::widen(static_cast<const unsigned short*>(from)[i]));
    default:
      return static_cast<S>(BFloat16Format::widen(static_cast<const unsigned short*>(from)[i]));
  }
}

template <class S>
void store(void* to, cudaDataType type, Index i, S value) {
  switch (type) {
    case CUDA_R_32F:
      static_cast<float*>(to)[i] = static_cast<float>(value);
      break;
    case CUDA_R_64F:
      static_cast<double*>(to)[i] = static_cast<double>(value);
      break;
    case CUDA_R_16F:
      static_cast<unsigned short*>(to)[i] = HalfFormat::round(static_cast<float>(value));
      break;
    default:
      static_cast<unsigned short*>(to)[i] = BFloat16Format::round(static_cast<float>(value));
  }
}

template <class Byte>
Byte* at_batch(Byte* pointer, cudaDataType type, int64_t stride, int32_t batch) {
  using Bytes = std::conditional_t<std::is_const_v<Byte>, const char, char>;
  if (pointer == nullptr) return nullptr;
  return static_cast<Bytes*>(pointer) + static_cast<int64_t>(element_bytes(type)) * stride * batch;
}

/// An operand in the type of the computation: a view of device memory, or a widened copy.
template <class S>
class Operand {
 public:
  Operand(const MatrixLayout& layout, const void* pointer, int32_t operation, int32_t batch)
      : turned_((operation != CUBLAS_OP_N) != (layout.order == CUBLASLT_ORDER_ROW)) {
    const bool by_row = layout.order == CUBLASLT_ORDER_ROW;
    rows_ = static_cast<Index>(by_row ? layout.cols : layout.rows);
    cols_ = static_cast<Index>(by_row ? layout.rows : layout.cols);
    const void* start = at_batch(pointer, layout.type, layout.batch_stride, batch);
    if (element_bytes(layout.type) == sizeof(S)) {
      data_ = static_cast<const S*>(start);
      ld_ = layout.ld;
      return;
    }
    copy_.resize(rows_, cols_);
    for (Index column = 0; column < cols_; ++column) {
      for (Index row = 0; row < rows_; ++row) {
        copy_(row, column) = load<S>(start, layout.type, column * layout.ld + row);
      }
    }
    data_ = copy_.data();
    ld_ = rows_;
  }

  bool turned() const { return turned_; }
  View<S> view() const { return View<S>(data_, rows_, cols_, Eigen::OuterStride<>(ld_)); }

 private:
  bool turned_;  // the operand is the transpose of the view
  Index rows_, cols_, ld_;
  const S* data_;
  Dense<S> copy_;
};

template <class S>
Dense<S> product(const Operand<S>& a, const Operand<S>& b) {
  if (a.turned() && b.turned()) return a.view().transpose() * b.view().transpose();
  if (a.turned()) return a.view().transpose() * b.view();
  if (b.turned()) return a.view() * b.view().transpose();
  return a.view() * b.view();
}

constexpr double kGeluScale = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double kGeluCubic = 0.044715;

template <class S>
S gelu(S x) {
  const S t = std::tanh(S(kGeluScale) * (x + S(kGeluCubic) * x * x * x));
  return S(0.5) * x * (1 + t);
}

template <class S>
S gelu_slope(S x) {
  const S t = std::tanh(S(kGeluScale) * (x + S(kGeluCubic) * x * x * x));
  const S inner_slope = S(kGeluScale) * (1 + 3 * S(kGeluCubic) * x * x);
  return S(0.5) * (1 + t) + S(0.5) * x * (1 - t * t) * inner_slope;
}

template <class S>
void compute(const Matmul& m, S alpha, S beta, int32_t batch) {
  const MatmulDescription& description = m.description;
  const Index rows = static_cast<Index>(m.rows()), cols = static_cast<Index>(m.cols());
  const cudaDataType type = m.d_layout.type;
  const Operand<S> a(m.a_layout, m.a, description.transa, batch);
  const Operand<S> b(m.b_layout, m.b, description.transb, batch);
  Dense<S> result = product(a, b);

  const void* c = at_batch(m.c, type, m.c_layout.batch_stride, batch);
  void* d = at_batch(m.d, type, m.d_layout.batch_stride, batch);
  void* bias = at_batch(description.bias, type, description.bias_batch_stride, batch);
  void* aux = at_batch(description.aux, type, description.aux_batch_stride, batch);
  const auto place = [](const MatrixLayout& layout, Index row, Index column) {
    return layout.order == CUBLASLT_ORDER_COL ? column * layout.ld + row : row * layout.ld + column;
  };
  for (Index column = 0; column < cols; ++column) {
    for (Index row = 0; row < rows; ++row) {
      S x = alpha * result(row, column);
      if (beta != 0) x += beta * load<S>(c, type, place(m.c_layout, row, column));
      if (description.adds_bias()) x += load<S>(bias, type, row);
      if (description.gelu()) {
        if (description.uses_aux()) store(aux, type, column * description.aux_ld + row, x);
        x = gelu(x);
      }
      if (description.dgelu()) {
        x *= gelu_slope(load<S>(aux, type, column * description.aux_ld + row));
      }
      result(row, column) = x;
      store(d, type, place(m.d_layout, row, column), x);
    }
  }
  const auto store_bias = [&](const auto& sums) {
    for (Index i = 0; i < sums.size(); ++i) store(bias, type, i, static_cast<S>(sums[i]));
  };
  using Vector = Eigen::Matrix<S, Eigen::Dynamic, 1>;
  const auto sums_of = [](const Operand<S>& operand, bool of_rows) -> Vector {
    if (of_rows != operand.turned()) return operand.view().rowwise().sum();
    return operand.view().colwise().sum();
  };
  if (description.bias_gradient_of_d()) store_bias(Vector(result.rowwise().sum()));
  if (description.bias_gradient_of_a()) store_bias(sums_of(a, true));
  if (description.bias_gradient_of_b()) store_bias(sums_of(b, false));
}

}  // namespace

void compute_matmul(const Matmul& m, double alpha, double beta) {
  const OpenMemory open;
  for (int32_t batch = 0; batch < m.d_layout.batch_count; ++batch) {
    if (m.a_layout.type == CUDA_R_64F) {
      compute<double>(m, alpha, beta, batch);
    } else {
      compute<float>(m, static_cast<float>(alpha), static_cast<float>(beta), batch);
    }
  }
}

cublasStatus_t enqueue_matmul(const Matmul& m, cudaStream_t stream) {
  if (sticky_error(current_device()) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (m.alpha == nullptr || m.beta == nullptr) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: alpha or beta is a null pointer", m.who);
  }
  const bool on_host = m.description.pointer_mode == CUBLASLT_POINTER_MODE_HOST;
  const cudaDataType scale = m.description.scale;
  cublasStatus_t status = check_layouts(m);
  if (status == CUBLAS_STATUS_SUCCESS) status = check_operands(m);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  for (const void* factor : {m.alpha, m.beta}) {
    if (is_device_pointer(factor, element_bytes(scale)) == on_host) {
      return refuse(CUBLAS_STATUS_INVALID_VALUE,
                    "%s: alpha and beta must be in %s memory for this pointer mode", m.who,
                    on_host ? "host" : "device");
    }
  }
  double alpha = 0, beta = 0;
  if (on_host) {
    alpha = load<double>(m.alpha, scale, 0);
    beta = load<double>(m.beta, scale, 0);
    if (beta != 0 && m.c == nullptr) {
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: c is a null pointer and beta is not 0",
                    m.who);
    }
  }
  if (check_stream(stream, m.who) != cudaSuccess) return CUBLAS_STATUS_INVALID_VALUE;
  if (m.rows() == 0 || m.cols() == 0) return CUBLAS_STATUS_SUCCESS;
  enqueue(stream, [m, on_host, scale, alpha, beta] {
    const OpenMemory open;
    compute_matmul(m, on_host ? alpha : load<double>(m.alpha, scale, 0),
                   on_host ? beta : load<double>(m.beta, scale, 0));
  });
  return sticky_error(current_device()) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                       : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace simt
