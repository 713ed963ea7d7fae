#include "tensor/kernels/reduce.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {
namespace {

void check_sum(const char* where, const Tensor& x, const Tensor& out) {
  require_leading_operand(where, "x", x);
  require_number(where, "out", out);
  require_floating(where, x.dtype());
}

}  // namespace

void sum(const Tensor& x, Tensor& out) { check_sum("sum", x, out); }

void sum_of_squares(const Tensor& x, Tensor& out) { check_sum("sum_of_squares", x, out); }

void max_abs_difference(const Tensor& a, const Tensor& b, Tensor& out) {
  require_leading_operand("max_abs_difference", "a", a);
  require_operand("max_abs_difference", "b", b, a.shape(), a.dtype());
  require_number("max_abs_difference", "out", out);
  require_floating("max_abs_difference", a.dtype());
}

}  // namespace shardgrad::checks
