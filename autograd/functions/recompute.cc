#include "autograd/functions/recompute.h"

namespace shardgrad {
namespace {

// What the nodes of one call share: one node for the whole function, which needs the gradients of
// all results at once, and one for each result, which puts its gradient here.
struct Segment {
  RecomputedFunction function;
  std::vector<Tensor> inputs;
  std::vector<Variable> parameters;
  std::vector<Tensor> result_gradients;
};

// An input of the second run, whose gradient goes to `gradient`. It is the result of an operation,
// not a leaf, since the gradient is to be collected in the dtype in which it would be without
// recomputation.
Variable tracked(const Tensor& value, Tensor& gradient) {
  const Variable origin(Tensor::zeros({1}), /*requires_grad=*/true);
  return record("recompute_input", {origin}, value.contiguous(),
                [&gradient](Gradients& gradients) { gradient = gradients.take_output(); });
}

void differentiate(Segment& segment, Gradients& gradients) {
  std::vector<Tensor> input_gradients(segment.inputs.size());
  std::vector<Variable> results;
  {
    const RecordingGuard recording;
    std::vector<Variable> inputs;
    for (std::size_t i = 0; i < segment.inputs.size(); ++i) {
      // Moved out, so that the function may work in place here if it may in the first run.
      const Tensor value = std::move(segment.inputs[i]);
      inputs.push_back(gradients.needed(static_cast<int>(i)) ? tracked(value, input_gradients[i])
                                                             : Variable(value));
    }
    results = segment.function(std::move(inputs));
  }
  std::vector<Variable> outputs;
  std::vector<Tensor> output_gradients;
  for (std::size_t i = 0; i < results.size(); ++i) {
    std::move(results[i]).release_value();  // its place in the graph is all that counts now
    if (!results[i].requires_grad() || !segment.result_gradients[i].defined()) continue;
    outputs.push_back(std::move(results[i]));
    output_gradients.push_back(std::move(segment.result_gradients[i]));
  }
  backward_within(outputs, std::move(output_gradients), segment.parameters);
  for (std::size_t i = 0; i < input_gradients.size(); ++i) {
    if (input_gradients[i].defined()) {
      gradients.add(static_cast<int>(i), std::move(input_gradients[i]));
    }
  }
}

}  // namespace

std::vector<Variable> recompute(RecomputedFunction function, std::vector<Variable> inputs,
                                const std::vector<Variable>& parameters) {
  if (!is_recording()) return function(std::move(inputs));
  auto segment = std::make_shared<Segment>();
  std::vector<Variable> constants;
  for (const Variable& input : inputs) {
    segment->inputs.push_back(input.value());
    constants.emplace_back(input.value());
  }
  std::vector<Variable> results;
  {
    const NoGradGuard no_grad;
    results = function(std::move(constants));
  }
  segment->function = std::move(function);
  segment->parameters = parameters;
  segment->result_gradients.resize(results.size());
  // Parameters come behind the inputs, so that they are complete right after this node has run.
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  const Variable whole =
      record("recompute", std::move(inputs), Tensor::zeros({1}),
             [segment](Gradients& gradients) { differentiate(*segment, gradients); });
  for (std::size_t i = 0; i < results.size(); ++i) {
    results[i] =
        record("recompute_result", {whole}, std::move(results[i]).release_value().contiguous(),
               [segment, i](Gradients& gradients) {
                 segment->result_gradients[i] = gradients.take_output();
                 gradients.add(0, Tensor::zeros({1}));  // has `whole` run
               });
  }
  return results;
}

}  // namespace shardgrad
