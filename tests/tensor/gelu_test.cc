#include "tensor/kernels/gelu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::awkward_matrices;
using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::HasSubstr;

class GeluTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, GeluTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

const GeluKind kKinds[] = {GeluKind::Exact, GeluKind::Tanh};
const double kPi = std::acos(-1.0);

double gelu(double x, GeluKind kind) {
  if (kind == GeluKind::Exact) return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / kPi) * (x + 0.044715 * x * x * x)));
}

double gelu_derivative(double x, GeluKind kind) {
  if (kind == GeluKind::Exact) {
    return 0.5 * (1.0 + std::erf(x / std::sqrt(2.0))) +
           x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * kPi);
  }
  const double u = std::sqrt(2.0 / kPi) * (x + 0.044715 * x * x * x);
  const double du = std::sqrt(2.0 / kPi) * (1.0 + 3.0 * 0.044715 * x * x);
  const double tanh_u = std::tanh(u);
  return 0.5 * (1.0 + tanh_u) + 0.5 * x * (1.0 - tanh_u * tanh_u) * du;
}

TEST_P(GeluTest, ForwardMatchesTheDefinition) {
  for (GeluKind kind : kKinds) {
    for (const Shape& shape : awkward_matrices()) {
      const Tensor x = random_tensor(shape, dtype(), 1, 2.0);
      const Matrix expected = to_matrix(x).unaryExpr([&](double v) { return gelu(v, kind); });
      Tensor y = Tensor::empty_like(x);
      kernels::gelu_forward(x, y, kind);
      EXPECT_LT(relative_difference(y, expected), tolerance()) << shape.to_string();
      Tensor in_place = x.clone();
      kernels::gelu_forward(in_place, in_place, kind);
      EXPECT_TRUE(bitwise_equal(in_place, y));
    }
  }
}

TEST_P(GeluTest, BackwardMatchesTheDerivative) {
  for (GeluKind kind : kKinds) {
    for (const Shape& shape : awkward_matrices()) {
      const Tensor x = random_tensor(shape, dtype(), 1, 2.0);
      const Tensor dy = random_tensor(shape, dtype(), 2);
      const Matrix expected = to_matrix(dy).cwiseProduct(
          to_matrix(x).unaryExpr([&](double v) { return gelu_derivative(v, kind); }));
      Tensor dx = Tensor::empty_like(x);
      kernels::gelu_backward(x, dy, dx, kind);
      // The derivative crosses zero, so the error is measured against dy.
      EXPECT_LT((to_matrix(dx) - expected).norm(), tolerance() * to_matrix(dy).norm())
          << shape.to_string();
      Tensor in_place = dy.clone();
      kernels::gelu_backward(x, in_place, in_place, kind);
      EXPECT_TRUE(bitwise_equal(in_place, dx));
    }
  }
}

// Expects what computes both at once to give the bits of what computes each, also in place.
void expect_both_at_once(const Tensor& x, const Tensor& dy, GeluKind kind) {
  Tensor y = Tensor::empty_like(x), dx = Tensor::empty_like(x);
  kernels::gelu_forward(x, y, kind);
  kernels::gelu_backward(x, dy, dx, kind);
  const Tensor x_before = x.clone(), dy_before = dy.clone();
  Tensor value = Tensor::empty_like(x), gradient = Tensor::empty_like(x);
  kernels::gelu_backward_and_value(x, dy, value, gradient, kind);
  EXPECT_TRUE(bitwise_equal(value, y)) << x.shape().to_string();
  EXPECT_TRUE(bitwise_equal(gradient, dx)) << x.shape().to_string();
  EXPECT_TRUE(bitwise_equal(x, x_before));
  EXPECT_TRUE(bitwise_equal(dy, dy_before));
  Tensor x_to_y = x.clone(), dy_to_dx = dy.clone();
  kernels::gelu_backward_and_value(x_to_y, dy_to_dx, x_to_y, dy_to_dx, kind);
  EXPECT_TRUE(bitwise_equal(x_to_y, y)) << x.shape().to_string();
  EXPECT_TRUE(bitwise_equal(dy_to_dx, dx)) << x.shape().to_string();
}

TEST_P(GeluTest, BothAtOnceMatchTheDefinitions) {
  for (GeluKind kind : kKinds) {
    for (const Shape& shape : awkward_matrices()) {
      const Tensor x = random_tensor(shape, dtype(), 1, 2.0);
      const Tensor dy = random_tensor(shape, dtype(), 2);
      const Matrix value = to_matrix(x).unaryExpr([&](double v) { return gelu(v, kind); });
      const Matrix gradient = to_matrix(dy).cwiseProduct(
          to_matrix(x).unaryExpr([&](double v) { return gelu_derivative(v, kind); }));
      Tensor y = x.clone(), dx = dy.clone();
      kernels::gelu_backward_and_value(y, dx, y, dx, kind);
      EXPECT_LT(relative_difference(y, value), tolerance()) << shape.to_string();
      EXPECT_LT((to_matrix(dx) - gradient).norm(), tolerance() * to_matrix(dy).norm())
          << shape.to_string();
      expect_both_at_once(x, dy, kind);
    }
  }
}

// Each value on a dense line, so that an error in the tails is not drowned by the large values.
TEST_P(GeluTest, EveryValueIsAccurate) {
  const double bound = dtype() == DType::Float64 ? 1e-13 : tolerance();
  std::vector<double> line;
  for (int i = -12000; i <= 12000; ++i) line.push_back(i / 1000.0);
  const Tensor x = Tensor::from(line, {static_cast<std::int64_t>(line.size())}).to(dtype());
  const Tensor ones = Tensor::full(x.shape(), 1.0, dtype());
  const std::vector<double> in = x.to(DType::Float64).to_vector<double>();
  for (GeluKind kind : kKinds) {
    Tensor y = Tensor::empty_like(x);
    Tensor dx = Tensor::empty_like(x);
    kernels::gelu_forward(x, y, kind);
    kernels::gelu_backward(x, ones, dx, kind);
    expect_both_at_once(x, ones, kind);
    const std::vector<double> value = y.to(DType::Float64).to_vector<double>();
    const std::vector<double> slope = dx.to(DType::Float64).to_vector<double>();
    for (std::size_t i = 0; i < in.size(); ++i) {
      ASSERT_NEAR(value[i], gelu(in[i], kind), bound * std::max(1.0, std::fabs(in[i])));
      ASSERT_NEAR(slope[i], gelu_derivative(in[i], kind), bound) << "x = " << in[i];
    }
  }
}

TEST_P(GeluTest, HugeInfiniteAndNotANumber) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor ones = Tensor::full({3}, 1.0, dtype());
  for (double large : {dtype() == DType::Float64 ? 1e300 : 1e38, infinity}) {
    const Tensor x =
        Tensor::from(std::vector<double>{large, -large, std::nan("")}, {3}).to(dtype());
    for (GeluKind kind : kKinds) {
      Tensor y = Tensor::empty_like(x);
      Tensor dx = Tensor::empty_like(x);
      kernels::gelu_forward(x, y, kind);
      kernels::gelu_backward(x, ones, dx, kind);
      EXPECT_EQ(y.slice(0, 0, 1).item(), x.slice(0, 0, 1).item());
      // The exact kind is x times a distribution that is 0 there.
      if (kind == GeluKind::Tanh || large < infinity) {
        EXPECT_EQ(y.slice(0, 1, 1).item(), 0.0);
      }
      EXPECT_TRUE(std::isnan(y.slice(0, 2, 1).item()));
      EXPECT_EQ(dx.slice(0, 0, 1).item(), 1.0);
      EXPECT_NEAR(dx.slice(0, 1, 1).item(), 0.0, 1e-30);
      EXPECT_TRUE(std::isnan(dx.slice(0, 2, 1).item()));
      // Beside a NaN, whose bits may differ.
      expect_both_at_once(x.slice(0, 0, 2), ones.slice(0, 0, 2), kind);
      Tensor nan = x.slice(0, 2, 1).clone(), gradient = ones.slice(0, 2, 1).clone();
      kernels::gelu_backward_and_value(nan, gradient, nan, gradient, kind);
      EXPECT_TRUE(std::isnan(nan.item()) && std::isnan(gradient.item()));
    }
  }
}

TEST_P(GeluTest, AShardHoldsTheBitsOfTheWhole) {
  const Tensor x = random_tensor({100000}, dtype(), 3, 2.0);
  const Tensor dy = random_tensor({100000}, dtype(), 4);
  for (GeluKind kind : kKinds) {
    Tensor y = Tensor::empty_like(x);
    Tensor dx = Tensor::empty_like(x);
    kernels::gelu_forward(x, y, kind);
    kernels::gelu_backward(x, dy, dx, kind);
    for (std::int64_t first : {0, 1, 13, 99000}) {
      for (std::int64_t length : {1, 7, 29, 1000}) {
        Tensor part = Tensor::empty({length}, dtype());
        kernels::gelu_forward(x.slice(0, first, length), part, kind);
        EXPECT_TRUE(bitwise_equal(part, y.slice(0, first, length)));
        kernels::gelu_backward(x.slice(0, first, length), dy.slice(0, first, length), part, kind);
        EXPECT_TRUE(bitwise_equal(part, dx.slice(0, first, length)));
        expect_both_at_once(x.slice(0, first, length), dy.slice(0, first, length), kind);
      }
    }
    for (int threads : {1, 2, 3}) {
      const IntraOpThreads scope(threads);
      Tensor again = Tensor::empty_like(x);
      kernels::gelu_forward(x, again, kind);
      EXPECT_TRUE(bitwise_equal(again, y));
      kernels::gelu_backward(x, dy, again, kind);
      EXPECT_TRUE(bitwise_equal(again, dx));
      expect_both_at_once(x, dy, kind);
    }
  }
}

TEST_P(GeluTest, Errors) {
  const Tensor x = Tensor::zeros({2, 3}, dtype());
  Tensor wrong = Tensor::zeros({3, 2}, dtype());
  EXPECT_EQ(error_of([&] { kernels::gelu_forward(x, wrong, GeluKind::Tanh); }),
            "[gelu_forward] y has shape [3, 2]; expected [2, 3]");
  EXPECT_THAT(error_of([&] { kernels::gelu_backward(x, x, wrong, GeluKind::Exact); }),
              HasSubstr("[gelu_backward] dx has shape [3, 2]"));
  Tensor right = Tensor::zeros({2, 3}, dtype());
  const auto both = [](const Tensor& x, const Tensor& dy, Tensor& y, Tensor& dx) {
    return error_of([&] { kernels::gelu_backward_and_value(x, dy, y, dx, GeluKind::Tanh); });
  };
  EXPECT_THAT(both(x, wrong, right, right),
              HasSubstr("[gelu_backward_and_value] dy has shape [3, 2]; expected [2, 3]"));
  EXPECT_THAT(both(x, x, wrong, right), HasSubstr("y has shape [3, 2]; expected [2, 3]"));
  EXPECT_THAT(both(x, x, right, wrong), HasSubstr("dx has shape [3, 2]; expected [2, 3]"));
  EXPECT_THAT(both(x.transpose(0, 1), x.transpose(0, 1), right, right),
              HasSubstr("x of shape [3, 2] with strides [1, 3] is not contiguous"));
}

}  // namespace
}  // namespace shardgrad
