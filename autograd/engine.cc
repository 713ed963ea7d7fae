// backward(): runs the graph once, from the loss to the leaves.
#include <unordered_set>

#include "autograd/node.h"

namespace shardgrad {
namespace {

using NodePointer = std::shared_ptr<Node>;

// Every node comes after all the nodes that consume it: the reverse of a depth-first post-order. As
// an operation's inputs are visited in order, leaves listed after the input they are combined with
// (weights) come right behind their operation.
std::vector<NodePointer> consumers_first(const NodePointer& root) {
  struct Visit {
    NodePointer node;
    std::size_t next_input = 0;
  };
  std::vector<NodePointer> order;
  std::unordered_set<const Node*> seen{root.get()};
  std::vector<Visit> path{{root}};
  while (!path.empty()) {
    Visit& top = path.back();
    if (top.next_input == top.node->inputs.size()) {
      order.push_back(std::move(top.node));
      path.pop_back();
      continue;
    }
    const NodePointer& input = top.node->inputs[top.next_input++];
    if (input != nullptr && seen.insert(input.get()).second) path.push_back({input});
  }
  return {order.rbegin(), order.rend()};
}

}  // namespace

void backward(const Variable& loss, double seed) {
  require(loss.defined() && loss.value().numel() == 1, "backward",
          "the loss has shape {}; expected one element",
          loss.defined() ? loss.shape().to_string() : "undefined");
  require(loss.requires_grad(), "backward",
          "the loss depends on nothing that requires a gradient (or was computed under "
          "NoGradGuard)");
  NoGradGuard no_grad;
  std::vector<NodePointer> order = consumers_first(loss.node_);
  for (const NodePointer& node : order) {
    require(!node->used, "backward",
            "operation {} has already been differentiated and its saved tensors are gone; run the "
            "forward pass again",
            node->name);
  }
  Node start;  // consumes the loss, so that a loss that is itself a leaf collects like any other
  start.name = "backward";
  start.inputs = {loss.node_};
  Gradients(start, Tensor())
      .add(0, Tensor::full(loss.shape(), seed, loss.value().dtype(), loss.value().device()));
  for (NodePointer& entry : order) {
    const NodePointer node = std::move(entry);  // freed at the end of its turn
    if (node->is_leaf) {
      for (const auto& hook : node->ready_hooks) hook();
      continue;
    }
    node->used = true;
    if (node->has_gradient) {
      node->has_gradient = false;
      Gradients gradients(*node, std::move(node->gradient));
      node->backward(gradients);
    }
    node->backward = nullptr;
    node->recompute = nullptr;
    node->gradient = Tensor();
    node->inputs.clear();
  }
}

}  // namespace shardgrad
