#include "tensor/kernels/elementwise.h"

#include <cmath>

#include "tensor/kernels/gelu.h"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

class CudaElementwiseTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaElementwiseTest, all_dtypes(), dtype_name);

// One element, sizes that leave a rest after packs of any width, and more than one block.
const Shape kShapes[] = {{0, 3}, {1, 1}, {1, 7}, {37, 1}, {3, 1001}, {65, 64}};

TEST_P(CudaElementwiseTest, AddAndMultiplyRoundOnceAsTheCpuDoes) {
  for (const Shape& shape : kShapes) {
    const Input a = random_input(shape, dtype(), 1), b = random_input(shape, dtype(), 2);
    Tensor out = device_output(shape, dtype());
    Tensor expected = Tensor::empty(shape, reference_dtype());
    kernels::add(a.device, b.device, out);
    kernels::add(a.host, b.host, expected);
    EXPECT_TRUE(same_bits(out, expected)) << shape.to_string();
    kernels::multiply(a.device, b.device, out);
    kernels::multiply(a.host, b.host, expected);
    EXPECT_TRUE(same_bits(out, expected)) << shape.to_string();
    Tensor in_place = a.device.clone();
    kernels::add(in_place, b.device, in_place);
    kernels::add(a.host, b.host, expected);
    EXPECT_TRUE(same_bits(in_place, expected)) << shape.to_string();
  }
}

// A slice that does not start at a multiple of 16 bytes must not be read in packs.
TEST_P(CudaElementwiseTest, UnalignedSlices) {
  const Input a = random_input({100}, dtype(), 1), b = random_input({100}, dtype(), 2);
  Tensor out = device_output({100}, dtype());
  out.fill(7.0);
  Tensor part = out.slice(0, 1, 98);
  kernels::add(a.device.slice(0, 1, 98), b.device.slice(0, 2, 98), part);
  Tensor expected = Tensor::full({100}, 7.0, reference_dtype());
  Tensor expected_part = expected.slice(0, 1, 98);
  kernels::add(a.host.slice(0, 1, 98), b.host.slice(0, 2, 98), expected_part);
  EXPECT_TRUE(same_bits(out, expected));
}

TEST_P(CudaElementwiseTest, ScaleAndSquareRoot) {
  for (const Shape& shape : kShapes) {
    const Input x = random_input(shape, dtype(), 1);
    Tensor out = device_output(shape, dtype());
    Tensor expected = Tensor::empty(shape, reference_dtype());
    kernels::scale(x.device, -0.3, out);
    kernels::scale(x.host, -0.3, expected);
    EXPECT_TRUE(same_bits(out, expected)) << shape.to_string();
    kernels::multiply(x.device, x.device, out);
    kernels::square_root(out, out);
    kernels::multiply(x.host, x.host, expected);
    kernels::square_root(Input(expected, dtype()).host, expected);
    EXPECT_TRUE(same_bits(out, expected)) << shape.to_string();
  }
}

TEST_P(CudaElementwiseTest, RejectAbove) {
  for (const Shape& shape : kShapes) {
    const Input x = random_input(shape, dtype(), 1);
    Tensor out = device_output(shape, dtype());
    out.fill(1.0);
    Tensor expected = Tensor::full(shape, 1.0, reference_dtype());
    kernels::reject_above(x.device, 0.5, out);
    kernels::reject_above(x.host, 0.5, expected);
    // NaNs have many bits.
    const std::vector<double> found = out.to(Device{}).to(DType::Float64).to_vector<double>();
    const std::vector<double> wanted = expected.to(DType::Float64).to_vector<double>();
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(std::isnan(found[i]), std::isnan(wanted[i])) << shape.to_string() << " " << i;
    }
  }
}

TEST_P(CudaElementwiseTest, AddBias) {
  for (const Shape& shape : kShapes) {
    const Input x = random_input(shape, dtype(), 1), bias = random_input({shape[1]}, dtype(), 2);
    Tensor out = device_output(shape, dtype());
    Tensor expected = Tensor::empty(shape, reference_dtype());
    kernels::add_bias(x.device, bias.device, out);
    kernels::add_bias(x.host, bias.host, expected);
    EXPECT_TRUE(same_bits(out, expected)) << shape.to_string();
  }
}

TEST_P(CudaElementwiseTest, SumRowsIntoEitherDtype) {
  // The last has many chunks of rows, and the one before several rows for each thread.
  for (const Shape& shape :
       {Shape{0, 3}, Shape{1, 1}, Shape{1, 70}, Shape{37, 33}, Shape{1000, 5}, Shape{5000, 40}}) {
    const Input x = random_input(shape, dtype(), 1);
    const Input before = random_input({shape[1]}, dtype(), 2);
    for (bool accumulate : {false, true}) {
      Tensor expected = before.host.clone();
      kernels::sum_rows(x.host, expected, accumulate);
      Tensor out = before.device.clone();
      kernels::sum_rows(x.device, out, accumulate);
      EXPECT_LT(difference(out, expected), tolerance()) << shape.to_string();
      Tensor wide = before.device.to(accumulator()).clone();
      kernels::sum_rows(x.device, wide, accumulate);
      EXPECT_LT(difference(wide, expected), 2 * accumulator_tolerance()) << shape.to_string();
    }
  }
}

TEST_P(CudaElementwiseTest, Gelu) {
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    for (const Shape& shape : kShapes) {
      const Input x = random_input(shape, dtype(), 1, 3.0), dy = random_input(shape, dtype(), 2);
      Tensor out = device_output(shape, dtype());
      Tensor expected = Tensor::empty(shape, reference_dtype());
      kernels::gelu_forward(x.device, out, kind);
      kernels::gelu_forward(x.host, expected, kind);
      EXPECT_LT(difference(out, expected), tolerance()) << shape.to_string();
      kernels::gelu_backward(x.device, dy.device, out, kind);
      kernels::gelu_backward(x.host, dy.host, expected, kind);
      EXPECT_LT(difference(out, expected), tolerance()) << shape.to_string();
    }
  }
}

// Expects what computes both at once to give the bits of what computes each, also in place.
void expect_both_at_once(const Tensor& x, const Tensor& dy, GeluKind kind) {
  Tensor y = Tensor::empty_like(x), dx = Tensor::empty_like(x);
  kernels::gelu_forward(x, y, kind);
  kernels::gelu_backward(x, dy, dx, kind);
  Tensor value = Tensor::empty_like(x), gradient = Tensor::empty_like(x);
  kernels::gelu_backward_and_value(x, dy, value, gradient, kind);
  EXPECT_TRUE(same_bits(value, y.to(Device{}))) << x.shape().to_string();
  EXPECT_TRUE(same_bits(gradient, dx.to(Device{}))) << x.shape().to_string();
  Tensor x_to_y = x.clone(), dy_to_dx = dy.clone();
  kernels::gelu_backward_and_value(x_to_y, dy_to_dx, x_to_y, dy_to_dx, kind);
  EXPECT_TRUE(same_bits(x_to_y, y.to(Device{}))) << x.shape().to_string();
  EXPECT_TRUE(same_bits(dy_to_dx, dx.to(Device{}))) << x.shape().to_string();
}

TEST_P(CudaElementwiseTest, GeluBothAtOnce) {
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    for (const Shape& shape : kShapes) {
      const Input x = random_input(shape, dtype(), 1, 3.0), dy = random_input(shape, dtype(), 2);
      expect_both_at_once(x.device, dy.device, kind);
    }
    // Slices that do not start at a multiple of 16 bytes.
    const Input x = random_input({100}, dtype(), 1, 3.0), dy = random_input({100}, dtype(), 2);
    Tensor y = device_output({100}, dtype()), dx = device_output({100}, dtype());
    y.fill(7.0);
    dx.fill(7.0);
    Tensor y_part = y.slice(0, 1, 98), dx_part = dx.slice(0, 1, 98);
    kernels::gelu_backward_and_value(x.device.slice(0, 1, 98), dy.device.slice(0, 2, 98), y_part,
                                     dx_part, kind);
    Tensor expected_y = Tensor::full({100}, 7.0, reference_dtype());
    Tensor expected_dx = Tensor::full({100}, 7.0, reference_dtype());
    Tensor expected_y_part = expected_y.slice(0, 1, 98),
           expected_dx_part = expected_dx.slice(0, 1, 98);
    kernels::gelu_forward(x.host.slice(0, 1, 98), expected_y_part, kind);
    kernels::gelu_backward(x.host.slice(0, 1, 98), dy.host.slice(0, 2, 98), expected_dx_part, kind);
    EXPECT_LT(difference(y, expected_y), tolerance());
    EXPECT_LT(difference(dx, expected_dx), tolerance());
  }
}

TEST_P(CudaElementwiseTest, GeluFarOutAndNotANumber) {
  const Input x(Tensor::from(std::vector<double>{-1e4, -30, -9.6, 0, 9.6, 30, 1e4}, {7}), dtype());
  const Input dy(Tensor::full({7}, 1.0, DType::Float64), dtype());
  for (GeluKind kind : {GeluKind::Exact, GeluKind::Tanh}) {
    Tensor out = device_output({7}, dtype());
    Tensor expected = Tensor::empty({7}, reference_dtype());
    kernels::gelu_forward(x.device, out, kind);
    kernels::gelu_forward(x.host, expected, kind);
    EXPECT_LT(difference(out, expected), tolerance());
    kernels::gelu_backward(x.device, dy.device, out, kind);
    kernels::gelu_backward(x.host, dy.host, expected, kind);
    EXPECT_LT(difference(out, expected), tolerance());
    expect_both_at_once(x.device, dy.device, kind);
    Tensor nan = Tensor::full({5}, std::nan(""), dtype(), kGpu);
    kernels::gelu_forward(nan, nan, kind);
    EXPECT_TRUE(std::isnan(nan.slice(0, 3, 1).item()));
    Tensor gradient = Tensor::full({5}, 1.0, dtype(), kGpu);
    kernels::gelu_backward_and_value(nan, gradient, nan, gradient, kind);
    EXPECT_TRUE(std::isnan(nan.slice(0, 4, 1).item()));
    EXPECT_TRUE(std::isnan(gradient.slice(0, 4, 1).item()));
  }
}

}  // namespace
}  // namespace shardgrad
