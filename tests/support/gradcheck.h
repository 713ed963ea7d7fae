// Gradients against central differences, in float64.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace shardgrad::gradcheck {

struct Options {
  /// Elements of each input that are differenced, evenly spread; 0: every one.
  std::int64_t elements_per_input = 0;
  /// The difference quotient's step, times max(1, |element|).
  double step = 1e-4;
};

/// How far backward() and the difference quotients are apart.
struct Result {
  /// The larger of, over all inputs, ||analytic - numeric|| / ||numeric|| and the largest
  /// |analytic - numeric| / (|numeric| + rms of that input's numeric gradient). NaN when anything
  /// is NaN.
  double worst = 0.0;
  /// Which input and element that was, and its two values.
  std::string description;
  /// Of all inputs: a gradient that is zero throughout is compared with zero, and proves little.
  double smallest_norm = 0.0;
};

/// Differentiates `function` at `inputs` (float64 tensors) with backward() and numerically. An
/// output of more than one element is multiplied by fixed random weights and summed, so that every
/// output counts. The function is called often; it must compute the same each time. The quotient is
/// (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h, whose error is of order h^4: at the default
/// step truncation and rounding leave about 1e-10.
Result check(const std::function<Variable(const std::vector<Variable>&)>& function,
             const std::vector<Tensor>& inputs, const Options& options = {});

/// Bound on Result::worst for functions whose values and derivatives are of order 1.
inline constexpr double kTolerance = 1e-7;

}  // namespace shardgrad::gradcheck
