// The gradient check itself: it passes right gradients and reports wrong ones.
#include "tests/support/gradcheck.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/functions/arithmetic.h"
#include "tests/autograd/gradient_testing.h"

namespace shardgrad {
namespace {

using gradient_testing::Inputs;
using gradient_testing::random64;
using ::testing::HasSubstr;

// x^3 element by element, with a backward pass that spoils the gradient.
Variable cube(const Variable& x, const std::function<void(Tensor&)>& spoil) {
  Tensor y = x.value().clone();
  double* const values = y.data<double>();
  for (std::int64_t i = 0; i < y.numel(); ++i) values[i] = values[i] * values[i] * values[i];
  return record("cube", {x}, y, [x = x.value(), spoil](Gradients& gradients) {
    Tensor dx = gradients.output().clone();
    double* const gradient = dx.data<double>();
    const double* const input = x.data<double>();
    for (std::int64_t i = 0; i < dx.numel(); ++i) gradient[i] *= 3.0 * input[i] * input[i];
    spoil(dx);
    gradients.add(0, dx);
  });
}

gradcheck::Result check_cube(const std::function<void(Tensor&)>& spoil,
                             const gradcheck::Options& options = {}) {
  return gradcheck::check([&](const Inputs& inputs) { return cube(inputs[0], spoil); },
                          {random64({37, 3}, 1)}, options);
}

TEST(GradcheckTest, PassesARightGradient) {
  const gradcheck::Result result = check_cube([](Tensor&) {});
  EXPECT_LT(result.worst, gradcheck::kTolerance) << result.description;
  EXPECT_GT(result.smallest_norm, 1.0);
}

TEST(GradcheckTest, ReportsAWrongFactor) {
  const gradcheck::Result result = check_cube([](Tensor& dx) {
    for (std::int64_t i = 0; i < dx.numel(); ++i) dx.data<double>()[i] *= 1.0 + 1e-5;
  });
  EXPECT_GT(result.worst, 9e-6);
  EXPECT_LT(result.worst, 2e-5);
}

TEST(GradcheckTest, NamesTheOneWrongElement) {
  const gradcheck::Result result = check_cube([](Tensor& dx) { dx.data<double>()[97] += 1.0; });
  EXPECT_GT(result.worst, 0.01);
  EXPECT_THAT(result.description, HasSubstr("input 0 element 97: analytic "));
}

TEST(GradcheckTest, ReportsNan) {
  const gradcheck::Result result = check_cube([](Tensor& dx) { dx.data<double>()[5] = NAN; });
  EXPECT_TRUE(std::isnan(result.worst));
  EXPECT_THAT(result.description, HasSubstr("input 0"));
}

TEST(GradcheckTest, ReportsZeros) {
  const gradcheck::Result result = check_cube([](Tensor& dx) { dx.fill(0.0); });
  EXPECT_NEAR(result.worst, 1.0, 1e-6);
}

TEST(GradcheckTest, NamesTheInputWithoutAGradient) {
  const gradcheck::Result result =
      gradcheck::check([](const Inputs& inputs) { return scale(inputs[0], 2.0); },
                       {random64({3}, 1), random64({3}, 2)});
  EXPECT_TRUE(std::isinf(result.worst));
  EXPECT_EQ(result.description, "input 1 got no gradient");
}

// A sample covers the whole input, so a wrong half is found.
TEST(GradcheckTest, SamplesAreSpreadOverTheInput) {
  int calls = 0;
  const auto count_and_spoil = [&](Tensor& dx) {
    ++calls;
    for (std::int64_t i = dx.numel() / 2; i < dx.numel(); ++i) dx.data<double>()[i] = 0.0;
  };
  gradcheck::Options options;
  options.elements_per_input = 10;
  EXPECT_GT(check_cube(count_and_spoil, options).worst, 0.1);
  EXPECT_EQ(calls, 1);
  EXPECT_LT(check_cube([](Tensor&) {}, options).worst, gradcheck::kTolerance);
}

// The outputs' weights differ: exchanging two outputs' gradients shows.
TEST(GradcheckTest, EveryOutputCounts) {
  const gradcheck::Result result = gradcheck::check(
      [](const Inputs& inputs) {
        return record("identity", {inputs[0]}, inputs[0].value().clone(), [](Gradients& gradients) {
          Tensor dx = gradients.output().clone();
          std::swap(dx.data<double>()[0], dx.data<double>()[1]);
          gradients.add(0, dx);
        });
      },
      {random64({5}, 1)});
  EXPECT_GT(result.worst, 0.01);
}

}  // namespace
}  // namespace shardgrad
