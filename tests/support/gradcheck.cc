#include "tests/support/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/functions/arithmetic.h"
#include "tests/support/reference.h"

namespace shardgrad::gradcheck {
namespace {

using Function = std::function<Variable(const std::vector<Variable>&)>;

constexpr std::uint64_t kWeightSeed = 977;

Tensor weights_for(const Variable& output) {
  return reference::random_tensor(output.shape(), DType::Float64, kWeightSeed);
}

// sum(weights * output) as a graph: the weights are the gradient of the sum.
Variable project(const Variable& output) {
  require(output.value().dtype() == DType::Float64, "gradcheck", "the function returned {}",
          name_of(output.value().dtype()));
  const Tensor weights = weights_for(output);
  const std::vector<double> x = output.value().to_vector<double>();
  const std::vector<double> w = weights.to_vector<double>();
  double total = 0.0;
  for (std::size_t index = 0; index < x.size(); ++index) total += x[index] * w[index];
  return record("project", {output}, Tensor::from<double>({total}, {1}),
                [weights](Gradients& gradients) { gradients.add(0, weights.clone()); });
}

double evaluate(const Function& function, const std::vector<Tensor>& inputs) {
  const NoGradGuard no_grad;
  std::vector<Variable> variables;
  for (const Tensor& input : inputs) variables.emplace_back(input.clone());
  return project(function(variables)).value().item();
}

// Five-point difference quotient with respect to one element.
double quotient(const Function& function, std::vector<Tensor>& inputs, double& element,
                double step) {
  const double centre = element;
  const double h = step * std::max(1.0, std::fabs(centre));
  const auto at = [&](double offset) {
    element = centre + offset;
    return evaluate(function, inputs);
  };
  const double near = at(h) - at(-h);
  const double far = at(2.0 * h) - at(-2.0 * h);
  element = centre;
  return (8.0 * near - far) / (12.0 * h);
}

// As `a > b`, with NaN above everything.
bool worse(double a, double b) { return std::isnan(a) || a > b; }

}  // namespace

Result check(const Function& function, const std::vector<Tensor>& inputs, const Options& options) {
  std::vector<Variable> leaves;
  std::vector<Tensor> points;
  for (const Tensor& input : inputs) {
    require(input.dtype() == DType::Float64, "gradcheck", "an input holds {}; expected float64",
            name_of(input.dtype()));
    leaves.emplace_back(input.clone(), /*requires_grad=*/true);
    points.push_back(input.clone());
  }
  backward(project(function(leaves)));

  Result result;
  result.smallest_norm = std::numeric_limits<double>::infinity();
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    const Tensor gradient = leaves[input].gradient();
    if (!gradient.defined()) {
      result.worst = std::numeric_limits<double>::infinity();
      result.description = fmt::format("input {} got no gradient", input);
      return result;
    }
    const std::vector<double> analytic = gradient.to_vector<double>();
    const std::int64_t count = points[input].numel();
    const std::int64_t checked =
        options.elements_per_input > 0 ? std::min(options.elements_per_input, count) : count;
    std::vector<std::int64_t> elements;
    std::vector<double> numeric;
    double squared_norm = 0.0, squared_distance = 0.0;
    for (std::int64_t sample = 0; sample < checked; ++sample) {
      const std::int64_t element = sample * count / checked;
      elements.push_back(element);
      numeric.push_back(
          quotient(function, points, points[input].data<double>()[element], options.step));
      const double distance = analytic[static_cast<std::size_t>(element)] - numeric.back();
      squared_norm += numeric.back() * numeric.back();
      squared_distance += distance * distance;
    }
    const double norm = std::sqrt(squared_norm);
    result.smallest_norm = std::min(result.smallest_norm, norm);
    const double whole =
        norm > 0.0 ? std::sqrt(squared_distance) / norm : std::sqrt(squared_distance);
    if (worse(whole, result.worst)) {
      result.worst = whole;
      result.description =
          fmt::format("input {}: ||analytic - numeric|| = {:.3g}, ||numeric|| = {:.3g}", input,
                      std::sqrt(squared_distance), norm);
    }
    const double rms = checked > 0 ? norm / std::sqrt(static_cast<double>(checked)) : 0.0;
    for (std::size_t sample = 0; sample < numeric.size(); ++sample) {
      const double value = analytic[static_cast<std::size_t>(elements[sample])];
      const double size = std::fabs(numeric[sample]) + rms;
      const double distance = std::fabs(value - numeric[sample]) / (size > 0.0 ? size : 1.0);
      if (!worse(distance, result.worst)) continue;
      result.worst = distance;
      result.description = fmt::format("input {} element {}: analytic {:.12g}, numeric {:.12g}",
                                       input, elements[sample], value, numeric[sample]);
      if (std::isnan(distance)) return result;
    }
  }
  return result;
}

}  // namespace shardgrad::gradcheck
