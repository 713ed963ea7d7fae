#include "tensor/kernels/random.h"

#include "tensor/kernels/checks.h"

namespace shardgrad::checks {
namespace {

void check_fill(const char* where, const Tensor& x, std::int64_t first_element) {
  require_leading_operand(where, "x", x);
  require(first_element >= 0, where, "first_element is {}; expected at least 0", first_element);
  require_floating(where, x.dtype());
}

}  // namespace

void fill_normal(Tensor& x, const RandomStream&, std::int64_t first_element, double,
                 double standard_deviation) {
  check_fill("fill_normal", x, first_element);
  require(standard_deviation >= 0.0, "fill_normal", "standard_deviation is {}; expected at least 0",
          standard_deviation);
}

void fill_uniform(Tensor& x, const RandomStream&, std::int64_t first_element, double low,
                  double high) {
  check_fill("fill_uniform", x, first_element);
  require(low < high, "fill_uniform", "low {} is not below high {}", low, high);
}

}  // namespace shardgrad::checks
