#include "tensor/kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::HasSubstr;

class AdamWTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, AdamWTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

AdamWStep step_number(std::int64_t step) {
  AdamWStep numbers;
  numbers.learning_rate = 0.01;
  numbers.beta1 = 0.9;
  numbers.beta2 = 0.999;
  numbers.weight_decay = 0.1;
  numbers.gradient_scale = 0.7;
  numbers.step = step;
  return numbers;
}

// The parameter and its moments, as the kernel and as the papers update them.
struct Model {
  Model(const Shape& shape, DType dtype)
      : parameter(random_tensor(shape, dtype, 1)),
        first(Tensor::zeros(shape, dtype)),
        second(Tensor::zeros(shape, dtype)),
        p(to_matrix(parameter)),
        m(to_matrix(first)),
        v(to_matrix(second)) {}

  void update(const Tensor& gradient, const AdamWStep& step) {
    kernels::adamw(parameter, gradient, first, second, step);
    const double count = static_cast<double>(step.step);
    const Matrix g = step.gradient_scale * to_matrix(gradient);
    m = step.beta1 * m + (1.0 - step.beta1) * g;
    v = step.beta2 * v + (1.0 - step.beta2) * g.cwiseProduct(g);
    const Matrix unbiased_m = m / (1.0 - std::pow(step.beta1, count));
    const Matrix unbiased_v = v / (1.0 - std::pow(step.beta2, count));
    p -= step.learning_rate * step.weight_decay * p;
    p -= (step.learning_rate * unbiased_m.array() / (unbiased_v.array().sqrt() + step.epsilon))
             .matrix();
  }

  Tensor parameter, first, second;
  Matrix p, m, v;
};

TEST_P(AdamWTest, FollowsThePapersForTenSteps) {
  for (const Shape& shape : kernel_testing::awkward_matrices()) {
    Model model(shape, dtype());
    for (int step = 1; step <= 10; ++step) {
      model.update(random_tensor(shape, dtype(), 10 + static_cast<std::uint64_t>(step), 0.1),
                   step_number(step));
    }
    EXPECT_LT(relative_difference(model.parameter, model.p), tolerance()) << shape.to_string();
    EXPECT_LT(relative_difference(model.first, model.m), tolerance());
    EXPECT_LT(relative_difference(model.second, model.v), tolerance());
  }
}

TEST_P(AdamWTest, TheFirstStepMovesByTheLearningRate) {
  Model model({37, 48}, dtype());
  const Matrix before = model.p;
  AdamWStep step = step_number(1);
  step.weight_decay = 0.0;
  const Tensor gradient = random_tensor({37, 48}, dtype(), 2);
  model.update(gradient, step);
  const Matrix expected = before - 0.01 * to_matrix(gradient).cwiseSign();
  EXPECT_LT(relative_difference(model.parameter, expected), 1e-6);
}

TEST_P(AdamWTest, NoGradientOnlyDecays) {
  Model model({37, 48}, dtype());
  const Matrix before = model.p;
  model.update(Tensor::zeros({37, 48}, dtype()), step_number(1));
  EXPECT_LT(relative_difference(model.parameter, before * (1.0 - 0.01 * 0.1)), tolerance());
  EXPECT_EQ(relative_difference(model.first, Matrix::Zero(37, 48)), 0.0);
}

TEST_P(AdamWTest, AShardHoldsTheBitsOfTheWhole) {
  const std::int64_t count = 100003;
  const Tensor gradient = random_tensor({count}, dtype(), 2);
  Model whole({count}, dtype());
  whole.update(gradient, step_number(3));
  for (int threads : {1, 2, 3}) {
    const IntraOpThreads scope(threads);
    Model again({count}, dtype());
    again.update(gradient, step_number(3));
    EXPECT_TRUE(bitwise_equal(again.parameter, whole.parameter));
  }
  for (std::int64_t first : {0, 1, 13, 50000}) {
    for (std::int64_t length : {1, 9, 30, 1001}) {
      Tensor parameter = random_tensor({count}, dtype(), 1).slice(0, first, length);
      Tensor moment1 = Tensor::zeros({length}, dtype());
      Tensor moment2 = Tensor::zeros({length}, dtype());
      kernels::adamw(parameter, gradient.slice(0, first, length), moment1, moment2, step_number(3));
      EXPECT_TRUE(bitwise_equal(parameter, whole.parameter.slice(0, first, length)));
      EXPECT_TRUE(bitwise_equal(moment1, whole.first.slice(0, first, length)));
      EXPECT_TRUE(bitwise_equal(moment2, whole.second.slice(0, first, length)));
    }
  }
}

TEST_P(AdamWTest, Errors) {
  Tensor p = Tensor::zeros({4}, dtype());
  Tensor m = Tensor::zeros({4}, dtype());
  Tensor v = Tensor::zeros({5}, dtype());
  EXPECT_EQ(error_of([&] { kernels::adamw(p, p, m, v, step_number(1)); }),
            "[adamw] second_moment has shape [5]; expected [4]");
  EXPECT_EQ(error_of([&] { kernels::adamw(p, p, m, m, step_number(0)); }),
            "[adamw] step is 0; steps are counted from 1");
  AdamWStep step = step_number(1);
  step.beta2 = 1.0;
  EXPECT_THAT(error_of([&] { kernels::adamw(p, p, m, m, step); }), HasSubstr("beta2 is 1"));
}

}  // namespace
}  // namespace shardgrad
