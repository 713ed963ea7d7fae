// What the tests of differentiable functions share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "autograd/variable.h"
#include "tests/support/error_of.h"
#include "tests/support/gradcheck.h"
#include "tests/support/reference.h"

namespace shardgrad::gradient_testing {

using Inputs = std::vector<Variable>;

inline Tensor random64(const Shape& shape, std::uint64_t seed, double scale = 1.0) {
  return reference::random_tensor(shape, DType::Float64, seed, scale);
}

/// Expects every gradient of `function` at `inputs` to be what the difference quotients say, and
/// none of them to be zero throughout.
inline void expect_gradients_match(const std::function<Variable(const Inputs&)>& function,
                                   const std::vector<Tensor>& inputs,
                                   const gradcheck::Options& options = {}) {
  const gradcheck::Result result = gradcheck::check(function, inputs, options);
  EXPECT_LT(result.worst, gradcheck::kTolerance) << result.description;
  EXPECT_GT(result.smallest_norm, 0.0);
}

}  // namespace shardgrad::gradient_testing
