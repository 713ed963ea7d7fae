#include "tensor/kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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
INSTANTIATE_TEST_SUITE_P(Dtypes, AdamWTest, kernel_testing::accumulation_dtypes(),
                         kernel_testing::dtype_name);

AdamWStep step_number(std::int64_t step) {
  AdamWStep numbers;
  numbers.learning_rate = 0.01;
  numbers.beta1 = 0.9;
  numbers.beta2 = 0.999;
  numbers.weight_decay = 0.1;
  numbers.max_gradient_norm = 2.1;  // clips by 0.7 at the norm below
  numbers.step = step;
  return numbers;
}

Tensor number(double value) { return Tensor::full({1}, value, DType::Float64); }

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
    Tensor none;
    kernels::adamw(parameter, gradient, first, second, number(3.0), step, none);
    const double count = static_cast<double>(step.step);
    const Matrix g = 0.7 * to_matrix(gradient);
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
      Tensor none;
      kernels::adamw(parameter, gradient.slice(0, first, length), moment1, moment2, number(3.0),
                     step_number(3), none);
      EXPECT_TRUE(bitwise_equal(parameter, whole.parameter.slice(0, first, length)));
      EXPECT_TRUE(bitwise_equal(moment1, whole.first.slice(0, first, length)));
      EXPECT_TRUE(bitwise_equal(moment2, whole.second.slice(0, first, length)));
    }
  }
}

TEST_P(AdamWTest, RoundedReceivesTheNewParameters) {
  for (std::int64_t count : {1, 31, 1000, 100003}) {
    const Tensor gradient = random_tensor({count}, dtype(), 2);
    Model plain({count}, dtype()), model({count}, dtype());
    plain.update(gradient, step_number(1));
    Tensor rounded = Tensor::zeros({count}, DType::BFloat16);
    kernels::adamw(model.parameter, gradient, model.first, model.second, number(3.0),
                   step_number(1), rounded);
    EXPECT_TRUE(bitwise_equal(model.parameter, plain.parameter)) << count;
    EXPECT_TRUE(bitwise_equal(model.first, plain.first)) << count;
    EXPECT_TRUE(bitwise_equal(model.second, plain.second)) << count;
    EXPECT_TRUE(bitwise_equal(rounded, model.parameter.to(DType::BFloat16))) << count;
    // A step that is skipped leaves them as well.
    rounded.fill(7.0);
    kernels::adamw(model.parameter, gradient, model.first, model.second, number(std::nan("")),
                   step_number(2), rounded);
    EXPECT_TRUE(bitwise_equal(rounded, Tensor::full({count}, 7.0, DType::BFloat16))) << count;
  }
}

TEST_P(AdamWTest, ANormBelowTheLimitOrNoLimitDoesNotClip) {
  const Tensor gradient = random_tensor({100}, dtype(), 2, 0.1);
  Model unclipped({100}, dtype()), below({100}, dtype()), unlimited({100}, dtype());
  Tensor none;
  const auto run = [&](Model& model, const Tensor& norm, double limit) {
    AdamWStep step = step_number(1);
    step.max_gradient_norm = limit;
    kernels::adamw(model.parameter, gradient, model.first, model.second, norm, step, none);
  };
  run(unclipped, Tensor(), 1.0);
  run(below, number(0.5), 1.0);
  run(unlimited, number(7.0), 0.0);
  EXPECT_TRUE(bitwise_equal(below.parameter, unclipped.parameter));
  EXPECT_TRUE(bitwise_equal(unlimited.parameter, unclipped.parameter));
  EXPECT_FALSE(bitwise_equal(unclipped.parameter, Model({100}, dtype()).parameter));
}

TEST_P(AdamWTest, AStepWithANormThatIsNotFiniteChangesNothing) {
  for (double norm : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Model model({100}, dtype());
    const Model before({100}, dtype());
    Tensor none;
    kernels::adamw(model.parameter, random_tensor({100}, dtype(), 2), model.first, model.second,
                   number(norm), step_number(1), none);
    EXPECT_TRUE(bitwise_equal(model.parameter, before.parameter));
    EXPECT_TRUE(bitwise_equal(model.first, before.first));
    EXPECT_TRUE(bitwise_equal(model.second, before.second));
  }
}

TEST_P(AdamWTest, Errors) {
  Tensor none;
  Tensor p = Tensor::zeros({4}, dtype());
  Tensor m = Tensor::zeros({4}, dtype());
  Tensor v = Tensor::zeros({5}, dtype());
  EXPECT_EQ(error_of([&] { kernels::adamw(p, p, m, v, none, step_number(1), none); }),
            "[adamw] second_moment has shape [5]; expected [4]");
  EXPECT_EQ(error_of([&] { kernels::adamw(p, p, m, m, none, step_number(0), none); }),
            "[adamw] step is 0; steps are counted from 1");
  AdamWStep step = step_number(1);
  step.beta2 = 1.0;
  EXPECT_THAT(error_of([&] { kernels::adamw(p, p, m, m, none, step, none); }),
              HasSubstr("beta2 is 1"));
  EXPECT_THAT(error_of([&] { kernels::adamw(p, p, m, m, none, step_number(1), v); }),
              HasSubstr("rounded has shape [5]; expected [4]"));
  Tensor narrow = Tensor::zeros({4}, DType::BFloat16);
  EXPECT_EQ(
      error_of([&] { kernels::adamw(narrow, narrow, narrow, narrow, none, step_number(1), none); }),
      "[adamw] sums in bfloat16; expected float32 or float64");
}

}  // namespace
}  // namespace shardgrad
