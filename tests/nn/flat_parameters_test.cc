// Flat parameters under the optimizer: backward passes write into the flat buffer, the gaps stay
// zero, and a parameter that a step does not reach goes on by its moments alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "autograd/functions/arithmetic.h"
#include "nn/linear.h"
#include "nn/optim/adamw.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::Matrix;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;

// Two linear layers, of which a step may use one: parameters of 15, 5, 10 and 2 elements.
class TwoLayers : public Module {
 public:
  explicit TwoLayers(DType dtype) : first(3, 5, true, {dtype}), second(5, 2, true, {dtype}) {
    register_module("first", first);
    register_module("second", second);
  }
  Linear first, second;
};

class FlatParametersTest : public ::testing::TestWithParam<DType> {
 protected:
  static std::int64_t line() { return GetParam() == DType::Float32 ? 16 : 8; }
  static double tolerance() { return GetParam() == DType::Float32 ? 1e-6 : 1e-14; }
};

TEST_P(FlatParametersTest, EachParameterBeginsAtACacheLine) {
  const TwoLayers layers(GetParam());
  FlatParameters flat(layers.named_parameters());
  const std::vector<std::string> order{"first.weight", "second.weight", "first.bias",
                                       "second.bias"};
  ASSERT_EQ(flat.parameters().size(), order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(flat.parameters()[i].name, order[i]);
    const Tensor& value = flat.parameters()[i].parameter->variable.value();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(value.raw_data()) % 64, 0u) << order[i];
  }
  // 15, 10 | 5, 2 elements in lines of 8 or 16.
  EXPECT_EQ(flat.decayed_numel(), 32);
  EXPECT_EQ(flat.numel(), line() == 8 ? 48 : 64);
}

// The gradients of y = x W^T + b are dy^T x and the column sums of dy; dy is 1 here.
TEST_P(FlatParametersTest, BackwardWritesIntoTheFlatBuffer) {
  const TwoLayers layers(GetParam());
  FlatParameters flat(layers.named_parameters());
  initialize_parameters(layers, 1);
  flat.gradients().fill(7.0);  // what an earlier step left
  const Tensor x = random_tensor({4, 3}, GetParam(), 2);
  for (int pass = 1; pass <= 2; ++pass) {
    backward(sum(layers.first.forward(Variable(x))));
    Matrix expected(5, 3);
    expected.rowwise() = pass * to_matrix(x).colwise().sum().row(0);
    const Tensor in_buffer = flat.gradients().slice(0, 0, 15);
    EXPECT_LT(relative_difference(in_buffer, expected), tolerance()) << pass;
    const Tensor bias = flat.gradients().slice(0, 32, 5);
    EXPECT_LT(relative_difference(bias, Matrix::Constant(1, 5, 4.0 * pass)), tolerance());
  }
  const auto parameters = layers.named_parameters();
  EXPECT_TRUE(parameters[0].parameter->variable.gradient().shares_storage_with(flat.gradients()));
  EXPECT_FALSE(parameters[2].parameter->variable.gradient().defined());  // second.weight
}

// An AdamW that is written out here, on one parameter whose gradient is that of every step or zero.
TEST_P(FlatParametersTest, AParameterThatIsNotReachedGoesOnByItsMoments) {
  const TwoLayers layers(GetParam());
  FlatParameters flat(layers.named_parameters());
  initialize_parameters(layers, 1);
  AdamW optimizer(flat, {0.9, 0.99, 1e-8, 0.2, 0.5});
  const Tensor norm = Tensor::full({}, 1.0, DType::Float64);  // so that gradients are halved
  const ParameterPointer weight = layers.named_parameters()[0].parameter;
  Matrix p = to_matrix(weight->variable.value());
  Matrix m = Matrix::Zero(5, 3), v = Matrix::Zero(5, 3);
  for (int step = 1; step <= 6; ++step) {
    flat.clear_gradients();
    const bool reached = step % 3 == 1;
    const Tensor x = random_tensor({4, 3}, GetParam(), step);
    Matrix g = Matrix::Zero(5, 3);
    if (reached) {
      backward(sum(layers.first.forward(Variable(x))));
      g.rowwise() = to_matrix(x).colwise().sum().row(0);
    } else {
      backward(sum(layers.second.forward(Variable(random_tensor({4, 5}, GetParam(), step)))));
    }
    optimizer.step(0.01, norm);
    g *= 0.5;
    m = 0.9 * m + 0.1 * g;
    v = 0.99 * v + 0.01 * g.cwiseProduct(g);
    p *= 1.0 - 0.01 * 0.2;
    p.array() -= 0.01 * (m.array() / (1 - std::pow(0.9, step))) /
                 ((v.array() / (1 - std::pow(0.99, step))).sqrt() + 1e-8);
    EXPECT_LT(relative_difference(weight->variable.value(), p), tolerance()) << "step " << step;
  }
}

TEST_P(FlatParametersTest, TheGapsStayZero) {
  const TwoLayers layers(GetParam());
  FlatParameters flat(layers.named_parameters());
  initialize_parameters(layers, 1);
  AdamW optimizer(flat);
  for (int step = 0; step < 3; ++step) {
    flat.clear_gradients();
    const Variable x(random_tensor({4, 3}, GetParam(), step));
    backward(sum(layers.second.forward(layers.first.forward(x))));
    optimizer.step(0.1);
  }
  std::vector<bool> used(flat.numel(), false);
  const Tensor all = flat.values().to(DType::Float64);
  const auto size = static_cast<std::int64_t>(size_of(GetParam()));
  for (const auto& [name, parameter] : flat.parameters()) {
    const Tensor& value = parameter->variable.value();
    const std::int64_t offset = (static_cast<const char*>(value.raw_data()) -
                                 static_cast<const char*>(flat.values().raw_data())) /
                                size;
    for (std::int64_t i = 0; i < value.numel(); ++i) used.at(offset + i) = true;
  }
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const double value = all.slice(0, i, 1).item();
    EXPECT_TRUE(used[i] || value == 0.0) << "element " << i << " is " << value;
  }
  EXPECT_EQ(std::count(used.begin(), used.end(), true), 15 + 5 + 10 + 2);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, FlatParametersTest,
                         ::testing::Values(DType::Float32, DType::Float64),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace shardgrad
