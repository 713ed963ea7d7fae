#include "tensor/kernels/layer_norm.h"

#include <cmath>

#include "tensor/kernels/residual_layer_norm.h"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

constexpr double kEpsilon = 1e-5;

class CudaLayerNormTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaLayerNormTest, all_dtypes(), dtype_name);

// One row; rows that fill packs and start aligned, and that do not; several blocks; wide rows.
const Shape kShapes[] = {{0, 8}, {1, 2}, {1, 64}, {37, 5}, {37, 47}, {9, 768}, {300, 33}};

struct Norm {
  Norm(const Shape& shape, DType dtype)
      : x(random_input(shape, dtype, 1, 2.0)),
        gamma(random_input({shape[1]}, dtype, 2)),
        beta(random_input({shape[1]}, dtype, 3)),
        dy(random_input(shape, dtype, 4)),
        addend(random_input(shape, dtype, 5)),
        y(device_output(shape, dtype)),
        mean(device_output({shape[0]}, accumulation_dtype(dtype))),
        rstd(device_output({shape[0]}, accumulation_dtype(dtype))),
        host_y(Tensor::empty(shape, accumulation_dtype(dtype))),
        host_mean(Tensor::empty({shape[0]}, accumulation_dtype(dtype))),
        host_rstd(Tensor::empty({shape[0]}, accumulation_dtype(dtype))) {
    kernels::layer_norm_forward(x.device, gamma.device, beta.device, kEpsilon, y, mean, rstd);
    kernels::layer_norm_forward(x.host, gamma.host, beta.host, kEpsilon, host_y, host_mean,
                                host_rstd);
  }

  Input x, gamma, beta, dy, addend;
  Tensor y, mean, rstd, host_y, host_mean, host_rstd;
};

TEST_P(CudaLayerNormTest, Forward) {
  for (const Shape& shape : kShapes) {
    const Norm norm(shape, dtype());
    EXPECT_LT(difference(norm.y, norm.host_y), tolerance()) << shape.to_string();
    EXPECT_LT(difference(norm.mean, norm.host_mean), 10 * accumulator_tolerance());
    EXPECT_LT(difference(norm.rstd, norm.host_rstd), 10 * accumulator_tolerance());
  }
}

TEST_P(CudaLayerNormTest, ALargeMeanDoesNotDrownTheVariance) {
  const Tensor noise = reference::random_tensor({4, 96}, DType::Float64, 1);
  Tensor values = Tensor::full({4, 96}, 300.0, DType::Float64);
  for (std::int64_t i = 0; i < noise.numel(); ++i) {
    values.data<double>()[i] += 10 * noise.data<double>()[i];
  }
  const Input x(values, dtype());
  const Input gamma(Tensor::full({96}, 1.0, DType::Float64), dtype());
  const Input beta(Tensor::zeros({96}, DType::Float64), dtype());
  Tensor y = device_output({4, 96}, dtype());
  Tensor mean = device_output({4}, accumulator()), rstd = device_output({4}, accumulator());
  kernels::layer_norm_forward(x.device, gamma.device, beta.device, kEpsilon, y, mean, rstd);
  Tensor host_y = Tensor::empty({4, 96}, reference_dtype());
  Tensor host_mean = Tensor::empty({4}, reference_dtype());
  Tensor host_rstd = Tensor::empty({4}, reference_dtype());
  kernels::layer_norm_forward(x.host, gamma.host, beta.host, kEpsilon, host_y, host_mean,
                              host_rstd);
  EXPECT_LT(difference(y, host_y), 20 * tolerance());
  EXPECT_LT(difference(rstd, host_rstd), 20 * accumulator_tolerance());
}

TEST_P(CudaLayerNormTest, BackwardInputWithAndWithoutAddend) {
  for (const Shape& shape : kShapes) {
    const Norm norm(shape, dtype());
    Tensor dgamma = device_output({shape[1]}, accumulator()), dbeta = dgamma.clone();
    Tensor host_dgamma = Tensor::empty({shape[1]}, reference_dtype());
    Tensor host_dbeta = Tensor::empty({shape[1]}, reference_dtype());
    for (const bool added : {false, true}) {
      Tensor dx = device_output(shape, dtype());
      Tensor expected = Tensor::empty(shape, reference_dtype());
      kernels::layer_norm_backward(norm.x.device, norm.gamma.device, norm.mean, norm.rstd,
                                   norm.dy.device, added ? norm.addend.device : Tensor(), dx,
                                   dgamma, false, dbeta, false);
      kernels::layer_norm_backward(norm.x.host, norm.gamma.host, norm.host_mean, norm.host_rstd,
                                   norm.dy.host, added ? norm.addend.host : Tensor(), expected,
                                   host_dgamma, false, host_dbeta, false);
      // A row of two has almost no gradient: what is left of the cancellation is all rounding.
      const double limit = shape[1] == 2 && !added ? 0.1 : 3 * tolerance();
      EXPECT_LT(difference(dx, expected), limit) << shape.to_string();
      if (!added) continue;
      Tensor in_place = norm.addend.device.clone();
      kernels::layer_norm_backward(norm.x.device, norm.gamma.device, norm.mean, norm.rstd,
                                   norm.dy.device, in_place, in_place, dgamma, false, dbeta, false);
      EXPECT_TRUE(same_bits(in_place, dx.to(Device{})));
    }
  }
}

TEST_P(CudaLayerNormTest, BackwardParameters) {
  for (const Shape& shape : {Shape{0, 8}, Shape{1, 64}, Shape{37, 47}, Shape{3000, 33}}) {
    const Norm norm(shape, dtype());
    const Input before = random_input({shape[1]}, accumulator(), 6);
    Tensor dx = device_output(shape, dtype());
    Tensor host_dx = Tensor::empty(shape, reference_dtype());
    for (const bool accumulate : {false, true}) {
      Tensor dgamma = before.device.clone(), dbeta = before.device.clone();
      Tensor host_dgamma = before.host.clone(), host_dbeta = before.host.clone();
      kernels::layer_norm_backward(norm.x.device, norm.gamma.device, norm.mean, norm.rstd,
                                   norm.dy.device, Tensor(), dx, dgamma, accumulate, dbeta,
                                   !accumulate);
      kernels::layer_norm_backward(norm.x.host, norm.gamma.host, norm.host_mean, norm.host_rstd,
                                   norm.dy.host, Tensor(), host_dx, host_dgamma, accumulate,
                                   host_dbeta, !accumulate);
      EXPECT_LT(difference(dgamma, host_dgamma), 5 * accumulator_tolerance()) << shape.to_string();
      EXPECT_LT(difference(dbeta, host_dbeta), 5 * accumulator_tolerance()) << shape.to_string();
    }
  }
}

TEST_P(CudaLayerNormTest, TheResidualInOnePassHasTheBitsOfTheTwoKernels) {
  for (const Shape& shape : kShapes) {
    const Norm norm(shape, dtype());
    for (const DropoutMask& mask :
         {DropoutMask{0.3, {3, 4}, 0}, DropoutMask{0.3, {3, 4}, 1001}, DropoutMask{}}) {
      Tensor sum = device_output(shape, dtype()), one_sum = norm.addend.device.clone();
      Tensor y = device_output(shape, dtype()), one_y = device_output(shape, dtype());
      Tensor mean = device_output({shape[0]}, accumulator()), one_mean = mean.clone();
      Tensor rstd = device_output({shape[0]}, accumulator()), one_rstd = rstd.clone();
      kernels::dropout_add(norm.x.device, norm.addend.device, mask, sum);
      kernels::layer_norm_forward(sum, norm.gamma.device, norm.beta.device, kEpsilon, y, mean,
                                  rstd);
      kernels::residual_layer_norm_forward(norm.x.device, one_sum, mask, norm.gamma.device,
                                           norm.beta.device, kEpsilon, one_sum, one_y, one_mean,
                                           one_rstd);
      EXPECT_TRUE(same_bits(one_sum, sum.to(Device{}))) << shape.to_string();
      EXPECT_TRUE(same_bits(one_y, y.to(Device{}))) << shape.to_string();
      EXPECT_TRUE(same_bits(one_mean, mean.to(Device{}))) << shape.to_string();
      EXPECT_TRUE(same_bits(one_rstd, rstd.to(Device{}))) << shape.to_string();
    }
  }
}

}  // namespace
}  // namespace shardgrad
