// float32 and bfloat16 go to oneDNN, float64 to Eigen. bfloat16 was 5 to 7 times as fast as float32
// on a Sapphire Rapids core.
#include <Eigen/Core>

#include "tensor/kernels/copy.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/gelu_math.h"
#include "tensor/kernels/gemm.h"
#include "tensor/kernels/onednn_gemm.h"
#include "tensor/kernels/panel_gemm.h"
#include "tensor/kernels/processor.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// In float32. Without instructions for it oneDNN multiplies bfloat16 at a seventh of float32's
// speed, or not at all.
void gemm_widened(const GemmProblem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                  Tensor& c) {
  const auto widened = [](const Tensor& matrix, const MatrixLayout& layout) {
    if (layout.row_major) return matrix.to(DType::Float32);
    return matrix.transpose(0, 1).to(DType::Float32).transpose(0, 1);
  };
  Tensor sums = c;
  if (c.dtype() != DType::Float32) {
    sums = problem.accumulate ? c.to(DType::Float32) : Tensor::empty(c.shape());
  }
  gemm(widened(a, problem.a), widened(b, problem.b), problem.bias ? bias.to(DType::Float32) : bias,
       sums, problem.accumulate);
  if (c.dtype() != DType::Float32) copy(sums, c);
}

template <int Order>
using MatrixMap = Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                             Eigen::OuterStride<>>;

// Calls body with the matrix as an Eigen map in its own storage order.
template <class Body>
void with_map(const Tensor& matrix, const MatrixLayout& layout, const Body& body) {
  const double* data = matrix.data<double>();
  const Eigen::OuterStride<> stride(layout.leading);
  if (layout.row_major) {
    body(MatrixMap<Eigen::RowMajor>(data, matrix.size(0), matrix.size(1), stride));
  } else {
    body(MatrixMap<Eigen::ColMajor>(data, matrix.size(0), matrix.size(1), stride));
  }
}

void gemm_float64(const GemmProblem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                  Tensor& c) {
  using Row = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<Row, 0, Eigen::OuterStride<>> out(c.data<double>(), problem.m, problem.n,
                                               Eigen::OuterStride<>(problem.c.leading));
  with_map(a, problem.a, [&](const auto& left) {
    with_map(b, problem.b, [&](const auto& right) {
      if (problem.accumulate) {
        out.noalias() += left * right;
      } else {
        out.noalias() = left * right;
      }
    });
  });
  if (problem.bias) {
    out.rowwise() += Eigen::Map<const Eigen::RowVectorXd>(bias.data<double>(), problem.n);
  }
}

GemmProblem problem_of(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& c,
                       bool accumulate) {
  GemmProblem problem{c.size(0), c.size(1), a.size(1),         {},
                      {},        {},        bias.defined(),    accumulate,
                      a.dtype(), c.dtype(), intra_op_threads()};
  if (problem.m == 0 || problem.n == 0) return problem;
  problem.c = layout_of(c, "c");
  if (problem.k == 0) return problem;
  problem.a = layout_of(a, "a");
  problem.b = layout_of(b, "b");
  return problem;
}

// Fetches `columns` elements for writing.
[[gnu::always_inline]] inline void fetch_row(const float* row, std::int64_t columns) {
  constexpr std::int64_t kLine = 64 / sizeof(float);
  for (std::int64_t n = 0; n < columns; n += kLine) __builtin_prefetch(row + n, 1);
}

// Rows of pre_activation receive the bias, those of y the activation.
void activate(const GemmBlock& block, std::int64_t columns, const Tensor& bias, GeluKind kind,
              Tensor& pre_activation, Tensor& y) {
  const float* const terms = bias.data<float>() + block.column;
  float* const sums = pre_activation.data<float>() + block.column;
  float* const values = y.data<float>() + block.column;
  const std::int64_t end = block.row + block.rows;
  dispatch_kind(kind, [&](auto gelu) {
    using Gelu = decltype(gelu);
    for (std::int64_t row = block.row; row < end; ++row) {
      // Rows lie further apart than what the processor fetches ahead by itself.
      fetch_row(sums + std::min(row + 2, end - 1) * columns, block.columns);
      fetch_row(values + std::min(row + 4, end - 1) * columns, block.columns);
      float* const x = sums + row * columns;
      float* const activated = values + row * columns;
      simd_elements(0, block.columns, [=](std::int64_t i) {
        x[i] += terms[i];
        activated[i] = Gelu::value(x[i]);
      });
    }
  });
}

}  // namespace

void gemm(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& c, bool accumulate) {
  const GemmProblem problem = problem_of(a, b, bias, c, accumulate);
  if (problem.m == 0 || problem.n == 0) return;
  if (problem.k == 0) {  // an empty sum
    if (!accumulate) fill(c, 0.0);
    for (std::int64_t row = 0; problem.bias && row < problem.m; ++row) {  // c may be a slice
      c.slice(0, row, 1).copy_from(bias.reshape({1, problem.n}));
    }
  } else if (a.dtype() == DType::Float64) {
    gemm_float64(problem, a, b, bias, c);
  } else if (a.dtype() == DType::BFloat16 && !multiplies_bfloat16()) {
    gemm_widened(problem, a, b, bias, c);
  } else {
    onednn_gemm(problem, a, b, bias, c);
  }
}

void gemm_bias_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, GeluKind kind,
                    Tensor& pre_activation, Tensor& y) {
  const GemmProblem problem = problem_of(a, b, bias, pre_activation, false);
  if (problem.bias && prefers_panels(problem)) {
    multiply_by_panels(problem, a, b, pre_activation, [&](const GemmBlock& block) {
      activate(block, problem.n, bias, kind, pre_activation, y);
    });
  } else {
    gemm(a, b, bias, pre_activation, false);
    gelu_forward(pre_activation, y, kind);
  }
}

}  // namespace shardgrad::cpu
