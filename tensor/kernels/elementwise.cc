#include "tensor/kernels/elementwise.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {
namespace {

// out and two operands of one shape.
void check_pair(const char* where, const Tensor& a, const Tensor& b, const Tensor& out) {
  require_leading_operand(where, "a", a);
  require_operand(where, "b", b, a.shape(), a.dtype());
  require_operand(where, "out", out, a.shape(), a.dtype());
  require_floating(where, a.dtype());
}

// out and one operand of its shape.
void check_map(const char* where, const Tensor& x, const Tensor& out) {
  require_leading_operand(where, "x", x);
  require_operand(where, "out", out, x.shape(), x.dtype());
  require_floating(where, x.dtype());
}

}  // namespace

void add(const Tensor& a, const Tensor& b, Tensor& out) { check_pair("add", a, b, out); }

void multiply(const Tensor& a, const Tensor& b, Tensor& out) { check_pair("multiply", a, b, out); }

void scale(const Tensor& x, double, Tensor& out) { check_map("scale", x, out); }

void square_root(const Tensor& x, Tensor& out) { check_map("square_root", x, out); }

void reject_above(const Tensor& x, double, Tensor& out) { check_map("reject_above", x, out); }

void add_bias(const Tensor& x, const Tensor& bias, Tensor& out) {
  require_leading_matrix("add_bias", "x", x);
  require_operand("add_bias", "bias", bias, {x.size(1)}, x.dtype());
  require_operand("add_bias", "out", out, x.shape(), x.dtype());
  require_floating("add_bias", x.dtype());
}

void sum_rows(const Tensor& x, Tensor& out, bool) {
  require_leading_matrix("sum_rows", "x", x);
  require_operand("sum_rows", "out", out, {x.size(1)}, sum_dtype(out, x.dtype()));
  require_floating("sum_rows", x.dtype());
}

}  // namespace shardgrad::checks
