#include "tensor/cuda/elements.cuh"
#include "tensor/cuda/matmul_plan.cuh"
#include "tensor/kernels/copy.h"
#include "tensor/kernels/gemm.h"
#include "tensor/matmul_precision.h"

namespace shardgrad::cuda {
namespace {

// c[m, n] = bias[n]; c is row-major with any leading dimension.
template <class T, class C>
__global__ void repeat_bias_kernel(std::int64_t rows, std::int64_t columns, std::int64_t leading,
                                   const T* bias, C* c) {
  for (std::int64_t i = global_thread(); i < rows * columns; i += all_threads()) {
    const std::int64_t row = i / columns, column = i % columns;
    c[row * leading + column] = narrow<C>(static_cast<Accumulator<C>>(widen(bias[column])));
  }
}

void repeat_bias(const Tensor& bias, Tensor& c, std::int64_t leading) {
  dispatch_element(bias.dtype(), "gemm", [&](auto type) {
    using T = decltype(type);
    dispatch_element(c.dtype(), "gemm", [&](auto output) {
      using C = decltype(output);
      launch("repeat_bias", element_blocks(c.numel()), kElementThreads, 0, repeat_bias_kernel<T, C>,
             c.size(0), c.size(1), leading, device_data<T>(bias), device_data<C>(c));
    });
  });
}

MatmulProblem describe(const Tensor& a, const Tensor& b, const Tensor& c, Epilogue epilogue) {
  MatmulProblem problem;
  problem.m = c.size(0);
  problem.n = c.size(1);
  problem.k = a.size(1);
  problem.a = layout_of(a, "a");
  problem.b = layout_of(b, "b");
  problem.c_leading = layout_of(c, "c").leading;
  problem.dtype = a.dtype();
  problem.c_dtype = c.dtype();
  problem.epilogue = epilogue;
  problem.tf32 = allow_tf32();
  problem.a_alignment = alignment_of(a.raw_data());
  problem.b_alignment = alignment_of(b.raw_data());
  problem.c_alignment = alignment_of(c.raw_data());
  return problem;
}

// c = a b + beta c, with the epilogue of the plan.
void run(const CublasLt& library, const MatmulPlan& plan, const Tensor& a, const Tensor& b,
         Tensor& c, double beta) {
  const double wide_alpha = 1.0, wide_beta = beta;
  const float alpha = 1.0f, narrow_beta = static_cast<float>(beta);
  const bool wide = a.dtype() == DType::Float64;
  const void* const alpha_pointer = wide ? static_cast<const void*>(&wide_alpha) : &alpha;
  const void* const beta_pointer = wide ? static_cast<const void*>(&wide_beta) : &narrow_beta;
  check(cublasLtMatmul(library.handle(), plan.description, alpha_pointer, b.raw_data(), plan.first,
                       a.raw_data(), plan.second, beta_pointer, c.raw_data(), plan.result,
                       c.raw_data(), plan.result, &plan.algorithm, library.workspace(),
                       CublasLt::kWorkspaceBytes, stream()),
        "cublasLtMatmul");
}

}  // namespace

void gemm(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& c, bool accumulate) {
  if (c.numel() == 0) return;
  // The epilogue adds a bias of c's dtype, and none in float64.
  const bool in_epilogue =
      bias.defined() && c.dtype() == bias.dtype() && c.dtype() != DType::Float64;
  double beta = accumulate ? 1.0 : 0.0;
  if (bias.defined() && (!in_epilogue || a.size(1) == 0)) {
    repeat_bias(bias, c, layout_of(c, "c").leading);
    beta = 1.0;
  }
  if (a.size(1) == 0) {  // an empty sum
    if (beta == 0.0) fill(c, 0.0);
    return;
  }
  CublasLt& library = CublasLt::of_this_thread(a.device().index);
  const MatmulPlan& plan =
      library.plan(describe(a, b, c, in_epilogue ? Epilogue::Bias : Epilogue::None),
                   in_epilogue ? bias.raw_data() : nullptr, nullptr);
  if (!plan.supported) throw Failure{"cuBLASLt has no algorithm for this product"};
  run(library, plan, a, b, c, beta);
}

void gemm_bias_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, GeluKind kind,
                    Tensor& pre_activation, Tensor& y) {
  // cuBLASLt knows the tanh form, of rows that are whole 16-byte packs.
  constexpr std::int64_t kAuxiliaryColumns = 8;
  constexpr int kAuxiliaryAlignment = 16;
  const bool fits = kind == GeluKind::Tanh && a.dtype() != DType::Float64 && y.numel() > 0 &&
                    a.size(1) > 0 && y.size(1) % kAuxiliaryColumns == 0 &&
                    alignment_of(pre_activation.raw_data()) >= kAuxiliaryAlignment;
  if (fits) {
    CublasLt& library = CublasLt::of_this_thread(a.device().index);
    const MatmulPlan& plan = library.plan(describe(a, b, y, Epilogue::GeluAuxBias), bias.raw_data(),
                                          pre_activation.raw_data());
    if (plan.supported) {
      run(library, plan, a, b, y, 0.0);
      return;
    }
  }
  gemm(a, b, bias, pre_activation, false);
  gelu_forward(pre_activation, y, kind);
}

}  // namespace shardgrad::cuda
