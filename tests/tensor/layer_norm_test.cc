#include "tensor/kernels/layer_norm.h"

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

constexpr double kEpsilon = 1e-5;

class LayerNormTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, LayerNormTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

// A row of one column has no variance and no input gradient; it has its own test.
const Shape kShapes[] = {{1, 2}, {1, 48}, {37, 5}, {37, 48}, {257, 1000}, {3, 5000}};

// The inputs of one call, and what Eigen makes of them in float64.
struct Problem {
  Problem(const Shape& shape, DType dtype)
      : x(random_tensor(shape, dtype, 1, 2.0)),
        gamma(random_tensor({shape[1]}, dtype, 2)),
        beta(random_tensor({shape[1]}, dtype, 3)),
        dy(random_tensor(shape, dtype, 4)),
        y(Tensor::empty_like(x)),
        mean(Tensor::empty({shape[0]}, accumulation_dtype(dtype))),
        rstd(Tensor::empty({shape[0]}, accumulation_dtype(dtype))) {
    const Matrix input = to_matrix(x);
    const Eigen::VectorXd means = input.rowwise().mean();
    const Matrix centred = input.colwise() - means;
    const Eigen::VectorXd variances = centred.array().square().rowwise().mean();
    const Eigen::VectorXd rstds = (variances.array() + kEpsilon).rsqrt();
    xhat = rstds.asDiagonal() * centred;
    expected_mean = means;
    expected_rstd = rstds;
    expected_y = (xhat * to_matrix(gamma).row(0).asDiagonal()).rowwise() + to_matrix(beta).row(0);
    const Matrix g = to_matrix(dy) * to_matrix(gamma).row(0).asDiagonal();
    const Eigen::VectorXd average_g = g.rowwise().mean();
    const Eigen::VectorXd average_g_xhat = g.cwiseProduct(xhat).rowwise().mean();
    expected_dx = rstds.asDiagonal() *
                  ((g.colwise() - average_g) - Matrix(average_g_xhat.asDiagonal() * xhat));
    expected_dgamma = to_matrix(dy).cwiseProduct(xhat).colwise().sum();
    expected_dbeta = to_matrix(dy).colwise().sum();
  }

  void forward() { kernels::layer_norm_forward(x, gamma, beta, kEpsilon, y, mean, rstd); }

  // What is not looked at goes to memory of its own.
  void backward_input(const Tensor& addend, Tensor& dx) const {
    Tensor dgamma = Tensor::empty({x.size(1)}, mean.dtype()), dbeta = Tensor::empty_like(dgamma);
    kernels::layer_norm_backward(x, gamma, mean, rstd, dy, addend, dx, dgamma, false, dbeta, false);
  }
  void backward_parameters(Tensor& dgamma, bool accumulate_gamma, Tensor& dbeta,
                           bool accumulate_beta) const {
    Tensor dx = Tensor::empty_like(x);
    kernels::layer_norm_backward(x, gamma, mean, rstd, dy, Tensor(), dx, dgamma, accumulate_gamma,
                                 dbeta, accumulate_beta);
  }

  Tensor x, gamma, beta, dy, y, mean, rstd;
  Matrix xhat, expected_mean, expected_rstd, expected_y, expected_dx, expected_dgamma,
      expected_dbeta;
};

TEST_P(LayerNormTest, Forward) {
  for (const Shape& shape : kShapes) {
    Problem problem(shape, dtype());
    problem.forward();
    EXPECT_LT(relative_difference(problem.y, problem.expected_y), tolerance()) << shape.to_string();
    EXPECT_LT(relative_difference(problem.mean, problem.expected_mean), sum_tolerance());
    EXPECT_LT(relative_difference(problem.rstd, problem.expected_rstd), sum_tolerance());
  }
}

TEST_P(LayerNormTest, BackwardInput) {
  for (const Shape& shape : kShapes) {
    if (shape[1] == 2) continue;  // two columns leave no gradient but rounding
    Problem problem(shape, dtype());
    problem.forward();
    Tensor dx = Tensor::full(shape, 1e30, dtype());
    problem.backward_input(Tensor(), dx);
    EXPECT_LT(relative_difference(dx, problem.expected_dx), tolerance()) << shape.to_string();
    const Tensor before = random_tensor(shape, dtype(), 5);
    Tensor accumulated = before.clone();
    problem.backward_input(accumulated, accumulated);
    EXPECT_LT(relative_difference(accumulated, to_matrix(before) + problem.expected_dx),
              tolerance());
    // The addend may also be elsewhere.
    problem.backward_input(before, dx);
    EXPECT_TRUE(reference::bitwise_equal(dx, accumulated));
  }
}

TEST_P(LayerNormTest, BackwardParameters) {
  for (const Shape& shape : kShapes) {
    Problem problem(shape, dtype());
    problem.forward();
    for (bool accumulate_gamma : {false, true}) {
      for (bool accumulate_beta : {false, true}) {
        const Tensor before = random_tensor({shape[1]}, accumulator(), 6);
        Tensor dgamma = before.clone();
        Tensor dbeta = before.clone();
        problem.backward_parameters(dgamma, accumulate_gamma, dbeta, accumulate_beta);
        const double kept_gamma = accumulate_gamma ? 1.0 : 0.0;
        const double kept_beta = accumulate_beta ? 1.0 : 0.0;
        EXPECT_LT(
            relative_difference(dgamma, problem.expected_dgamma + kept_gamma * to_matrix(before)),
            sum_tolerance())
            << shape.to_string();
        EXPECT_LT(
            relative_difference(dbeta, problem.expected_dbeta + kept_beta * to_matrix(before)),
            sum_tolerance());
      }
    }
  }
}

TEST_P(LayerNormTest, OneColumnIsItsShift) {
  Problem problem({37, 1}, dtype());
  problem.forward();
  const double beta = problem.beta.item();
  EXPECT_EQ(relative_difference(problem.y, Matrix::Constant(37, 1, beta)), 0.0);
  Tensor dx = Tensor::full({37, 1}, 1e30, dtype());
  problem.backward_input(Tensor(), dx);
  // Nothing is left of rstd * dy * gamma but its rounding.
  const double size_of_terms =
      to_matrix(problem.dy).norm() * std::fabs(problem.gamma.item()) / std::sqrt(kEpsilon);
  EXPECT_LT(to_matrix(dx).norm(), tolerance() * size_of_terms);
}

// A mean far above the spread: a one-pass variance would be all cancellation.
TEST_P(LayerNormTest, LargeMeanKeepsTheVariance) {
  Problem problem({5, 768}, dtype());
  const Tensor shifted =
      reference::to_tensor((to_matrix(problem.x).array() + 1000.0).matrix(), dtype());
  const Matrix input = to_matrix(shifted);
  const Matrix centred = input.colwise() - Eigen::VectorXd(input.rowwise().mean());
  const Matrix expected = (centred.array().square().rowwise().mean() + kEpsilon).rsqrt().matrix();
  kernels::layer_norm_forward(shifted, problem.gamma, problem.beta, kEpsilon, problem.y,
                              problem.mean, problem.rstd);
  EXPECT_LT(relative_difference(problem.rstd, expected), sum_tolerance());
}

TEST_P(LayerNormTest, RowsAndThreadsDoNotChangeABit) {
  Problem problem({200, 777}, dtype());
  problem.forward();
  Tensor dx = Tensor::empty_like(problem.x);
  Tensor dgamma = Tensor::empty({777}, accumulator());
  Tensor dbeta = Tensor::empty({777}, accumulator());
  problem.backward_input(Tensor(), dx);
  problem.backward_parameters(dgamma, false, dbeta, false);
  for (int threads : {1, 2, 3, 5}) {
    const IntraOpThreads scope(threads);
    Problem again({200, 777}, dtype());
    again.forward();
    EXPECT_TRUE(bitwise_equal(again.y, problem.y));
    EXPECT_TRUE(bitwise_equal(again.mean, problem.mean));
    EXPECT_TRUE(bitwise_equal(again.rstd, problem.rstd));
    Tensor again_dx = Tensor::empty_like(problem.x);
    Tensor again_dgamma = Tensor::empty({777}, accumulator());
    Tensor again_dbeta = Tensor::empty({777}, accumulator());
    again.backward_input(Tensor(), again_dx);
    again.backward_parameters(again_dgamma, false, again_dbeta, false);
    EXPECT_TRUE(bitwise_equal(again_dx, dx));
    EXPECT_TRUE(bitwise_equal(again_dgamma, dgamma));
    EXPECT_TRUE(bitwise_equal(again_dbeta, dbeta));
  }
  // A shard of the rows, as sequence parallelism makes it.
  Tensor y = Tensor::empty({50, 777}, dtype());
  Tensor mean = Tensor::empty({50}, accumulator());
  Tensor rstd = Tensor::empty({50}, accumulator());
  kernels::layer_norm_forward(problem.x.slice(0, 101, 50), problem.gamma, problem.beta, kEpsilon, y,
                              mean, rstd);
  EXPECT_TRUE(bitwise_equal(y, problem.y.slice(0, 101, 50)));
}

TEST_P(LayerNormTest, NanStaysInItsRow) {
  Problem problem({3, 48}, dtype());
  problem.x.slice(0, 1, 1).slice(1, 47, 1).fill(std::nan(""));
  problem.forward();
  const Matrix y = to_matrix(problem.y);
  EXPECT_TRUE(y.row(0).allFinite());
  EXPECT_TRUE(y.row(1).array().isNaN().all());
  EXPECT_TRUE(y.row(2).allFinite());
}

TEST_P(LayerNormTest, Errors) {
  Problem problem({3, 48}, dtype());
  EXPECT_EQ(error_of([&] {
              kernels::layer_norm_forward(problem.x, Tensor::zeros({47}, dtype()), problem.beta,
                                          kEpsilon, problem.y, problem.mean, problem.rstd);
            }),
            "[layer_norm_forward] gamma has shape [47]; expected [48]");
  EXPECT_THAT(error_of([&] {
                kernels::layer_norm_forward(problem.x, problem.gamma, problem.beta, 0.0, problem.y,
                                            problem.mean, problem.rstd);
              }),
              HasSubstr("epsilon is 0"));
  EXPECT_THAT(error_of([&] {
                problem.rstd = Tensor();
                problem.backward_input(Tensor(), problem.y);
              }),
              HasSubstr("[layer_norm_backward] rstd is undefined"));
}

}  // namespace
}  // namespace shardgrad
