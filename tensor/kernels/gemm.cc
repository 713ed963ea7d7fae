#include "tensor/kernels/gemm.h"

#include "tensor/kernels/checks.h"
#include "tensor/kernels/matrix_layout.h"

namespace shardgrad::checks {
namespace {

// What both kernels multiply; c_dtype is what c must hold.
void check_product(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& c,
                   bool accumulate, DType c_dtype) {
  require(a.rank() == 2 && b.rank() == 2 && c.rank() == 2 && a.size(1) == b.size(0) &&
              c.size(0) == a.size(0) && c.size(1) == b.size(1),
          "gemm", "a is {}, b {}, c {}; expected [M, K], [K, N], [M, N]", a.shape().to_string(),
          b.shape().to_string(), c.shape().to_string());
  require(b.dtype() == a.dtype() && c.dtype() == c_dtype, "gemm",
          "a holds {}, b {}, c {}; expected one dtype", name_of(a.dtype()), name_of(b.dtype()),
          name_of(c.dtype()));
  require(!bias.defined() || (bias.shape() == Shape{b.size(1)} && bias.dtype() == a.dtype() &&
                              bias.is_contiguous()),
          "gemm", "bias is {}; expected contiguous [{}] of {}", bias.shape().to_string(), b.size(1),
          name_of(a.dtype()));
  require(!(bias.defined() && accumulate), "gemm", "bias and accumulate exclude each other");
  require_floating("gemm", a.dtype());
  if (c.numel() == 0) return;
  require(layout_of(c, "c").row_major, "gemm", "c has strides {}; expected row-major",
          c.strides().to_string());
  if (a.size(1) == 0) return;
  layout_of(a, "a");
  layout_of(b, "b");
}

}  // namespace

void gemm(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& c, bool accumulate) {
  check_product(a, b, bias, c, accumulate, sum_dtype(c, a.dtype()));
}

void gemm_bias_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, GeluKind kind,
                    Tensor& pre_activation, Tensor& y) {
  check_product(a, b, bias, pre_activation, false, a.dtype());
  gelu_forward(pre_activation, y, kind);
}

}  // namespace shardgrad::checks
