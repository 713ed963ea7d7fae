#include "autograd/variable.h"

#include "autograd/node.h"
#include "tensor/kernels/elementwise.h"

namespace shardgrad {
namespace {

// Whether this thread records operations. A property of the thread, as a rank is a thread.
thread_local bool recording = true;

std::shared_ptr<Node> make_node(const Tensor& value, DType gradient_dtype) {
  auto node = std::make_shared<Node>();
  node->shape = value.shape();
  node->dtype = gradient_dtype;
  node->device = value.device();
  return node;
}

}  // namespace

NoGradGuard::NoGradGuard() : previous_(recording) { recording = false; }
NoGradGuard::~NoGradGuard() { recording = previous_; }

RecordingGuard::RecordingGuard() : previous_(recording) { recording = true; }
RecordingGuard::~RecordingGuard() { recording = previous_; }

bool is_recording() { return recording; }

Node::~Node() {
  // A chain of nodes is taken apart in a loop: its natural recursion is as deep as the model.
  std::vector<std::shared_ptr<Node>> orphans = std::move(inputs);
  while (!orphans.empty()) {
    const std::shared_ptr<Node> node = std::move(orphans.back());
    orphans.pop_back();
    if (node.use_count() != 1) continue;
    node->backward = nullptr;
    node->recompute = nullptr;
    for (auto& input : node->inputs) orphans.push_back(std::move(input));
    node->inputs.clear();
  }
}

Variable::Variable(Tensor value, bool requires_grad) : value_(std::move(value)) {
  require(value_.defined(), "Variable", "the value is undefined");
  if (!requires_grad) return;
  require(value_.dtype() != DType::Int32, "Variable",
          "a gradient needs a floating dtype, not {}; pass requires_grad=false",
          name_of(value_.dtype()));
  node_ = make_node(value_, accumulation_dtype(value_.dtype()));
}

Node& Variable::leaf_node(const char* where) const {
  require(node_ != nullptr && node_->is_leaf, where,
          "only a leaf that requires a gradient keeps one");
  return *node_;
}

Tensor Variable::gradient() const {
  const Node& node = leaf_node("Variable::gradient");
  return node.has_gradient ? node.gradient : Tensor();
}

void Variable::clear_gradient() { leaf_node("Variable::clear_gradient").has_gradient = false; }

void Variable::set_gradient_buffer(Tensor buffer) {
  Node& node = leaf_node("Variable::set_gradient_buffer");
  require(buffer.shape() == node.shape && buffer.dtype() == node.dtype &&
              buffer.device() == node.device && buffer.is_contiguous(),
          "Variable::set_gradient_buffer",
          "the buffer is {} {} on {}; expected contiguous {} {} on {}", name_of(buffer.dtype()),
          buffer.shape().to_string(), buffer.device().to_string(), name_of(node.dtype),
          node.shape.to_string(), node.device.to_string());
  node.gradient = std::move(buffer);
  node.has_gradient = false;
}

SavedTensor Variable::saved() const {
  return node_ != nullptr && node_->recompute ? SavedTensor(node_->recompute) : SavedTensor(value_);
}

void Variable::set_recompute(SavedTensor::Recompute recompute) {
  if (node_ != nullptr) node_->recompute = std::move(recompute);
}

void Variable::on_gradient_ready(std::function<void()> hook) {
  leaf_node("Variable::on_gradient_ready").ready_hooks.push_back(std::move(hook));
}

bool Gradients::needed(int input) const { return node_.inputs.at(input) != nullptr; }

DType Gradients::target_dtype(int input) const {
  require(needed(input), node_.name, "the gradient of input {} is not needed", input);
  return node_.inputs[input]->dtype;
}

Gradients::Target Gradients::target(int input) {
  require(needed(input), node_.name, "the gradient of input {} is not needed", input);
  Node& node = *node_.inputs[input];
  if (!node.has_gradient) {
    if (!node.gradient.defined()) {
      node.gradient = Tensor::empty(node.shape, node.dtype, node.device);
    }
    node.has_gradient = true;
    return {node.gradient, false};
  }
  // An operation's gradient may be shared with another input of its consumer; a leaf's is its own.
  if (!node.is_leaf && !node.gradient.is_sole_owner()) node.gradient = node.gradient.clone();
  return {node.gradient, true};
}

void Gradients::add(int input, Tensor gradient) {
  if (!needed(input)) return;
  Node& node = *node_.inputs[input];
  require(gradient.shape() == node.shape &&
              accumulation_dtype(gradient.dtype()) == accumulation_dtype(node.dtype) &&
              gradient.device() == node.device,
          node_.name, "the gradient of input {} is {} {} on {}; expected {} {} on {}", input,
          name_of(gradient.dtype()), gradient.shape().to_string(), gradient.device().to_string(),
          name_of(node.dtype), node.shape.to_string(), node.device.to_string());
  gradient = gradient.to(node.dtype);
  if (!node.is_leaf && !node.has_gradient) {
    node.gradient = gradient.contiguous();
    node.has_gradient = true;
    return;
  }
  Target destination = target(input);
  if (destination.accumulate) {
    kernels::add(destination.gradient, gradient.contiguous(), destination.gradient);
  } else {
    destination.gradient.copy_from(gradient);
  }
}

Tensor* Gradients::complete_gradient(int input) const {
  if (!needed(input)) return nullptr;
  Node& node = *node_.inputs[input];
  const bool complete = node.has_gradient && node.consumers_to_run == 1;
  return complete && node.gradient.is_sole_owner() ? &node.gradient : nullptr;
}

Tensor Gradients::scratch_like_output() const {
  return output_.is_sole_owner() ? output_ : Tensor::empty_like(output_);
}

Variable record(const char* name, std::vector<Variable> inputs, Tensor value,
                std::function<void(Gradients&)> backward) {
  Variable result(std::move(value));
  if (!recording) return result;
  bool any_needed = false;
  for (const Variable& input : inputs) any_needed = any_needed || input.requires_grad();
  if (!any_needed) return result;
  require(result.value().is_contiguous(), name, "the result of an operation must be contiguous");
  result.node_ = make_node(result.value(), result.value().dtype());
  result.node_->name = name;
  result.node_->is_leaf = false;
  result.node_->backward = std::move(backward);
  for (Variable& input : inputs) result.node_->inputs.push_back(std::move(input.node_));
  return result;
}

}  // namespace shardgrad
