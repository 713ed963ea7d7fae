// backward(): runs the graph once, from its results to the leaves.
#include <unordered_set>

#include "autograd/node.h"

namespace shardgrad {
namespace {

using NodePointer = std::shared_ptr<Node>;

// Every node comes after all the nodes that consume it: the reverse of a depth-first post-order. As
// an operation's inputs are visited in order, leaves listed after the input they are combined with
// (weights) come right behind their operation. Every node's consumers are counted.
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
    if (input == nullptr) continue;
    ++input->consumers_to_run;
    if (seen.insert(input.get()).second) path.push_back({input});
  }
  return {order.rbegin(), order.rend()};
}

}  // namespace

// One run through the graph below `outputs`.
class BackwardPass {
 public:
  explicit BackwardPass(const std::vector<Variable>& outputs) {
    start_->name = "backward";
    for (const Variable& output : outputs) {
      require(output.requires_grad(), "backward",
              "the loss depends on nothing that requires a gradient (or was computed under "
              "NoGradGuard)");
      start_->inputs.push_back(output.node_);
    }
    order_ = consumers_first(start_);
    for (const NodePointer& node : order_) {
      require(!node->used, "backward",
              "operation {} has already been differentiated and its saved tensors are gone; run "
              "the forward pass again",
              node->name);
    }
  }

  void require_hooks_only_at(const std::vector<Variable>& leaves) const {
    std::unordered_set<const Node*> known;
    for (const Variable& leaf : leaves) known.insert(leaf.node_.get());
    for (const NodePointer& node : order_) {
      require(node->ready_hooks.empty() || known.count(node.get()) != 0, "backward_within",
              "a leaf of shape {} has hooks but is not among the {} leaves of which the pass under "
              "way knows; expected every parameter of what is computed again",
              node->shape.to_string(), leaves.size());
    }
  }

  void add_gradient(int output, Tensor gradient) {
    Gradients(*start_, Tensor()).add(output, std::move(gradient));
  }

  void run(bool call_hooks) {
    for (NodePointer& entry : order_) {
      const NodePointer node = std::move(entry);  // freed at the end of its turn
      if (!node->is_leaf) {
        differentiate(*node);
      } else if (call_hooks) {
        for (const auto& hook : node->ready_hooks) hook();
      }
      for (const NodePointer& input : node->inputs) {
        if (input != nullptr) --input->consumers_to_run;
      }
      node->inputs.clear();
    }
  }

 private:
  static void differentiate(Node& node) {
    node.used = true;
    if (node.has_gradient) {
      node.has_gradient = false;
      Gradients gradients(node, std::move(node.gradient));
      node.backward(gradients);
    }
    node.backward = nullptr;
    node.recompute = nullptr;
    node.gradient = Tensor();
  }

  NoGradGuard no_grad_;
  // Consumes the outputs, so that one that is itself a leaf collects like any other. It passes for
  // a leaf that nobody watches.
  NodePointer start_ = std::make_shared<Node>();
  std::vector<NodePointer> order_;
};

void backward(const Variable& loss, double seed) {
  require(loss.defined() && loss.value().numel() == 1, "backward",
          "the loss has shape {}; expected one element",
          loss.defined() ? loss.shape().to_string() : "undefined");
  BackwardPass pass({loss});
  pass.add_gradient(0,
                    Tensor::full(loss.shape(), seed, loss.value().dtype(), loss.value().device()));
  pass.run(/*call_hooks=*/true);
}

void backward_within(const std::vector<Variable>& outputs, std::vector<Tensor> gradients,
                     const std::vector<Variable>& leaves) {
  require(outputs.size() == gradients.size(), "backward_within",
          "there are {} outputs and {} gradients; expected one for each", outputs.size(),
          gradients.size());
  BackwardPass pass(outputs);
  pass.require_hooks_only_at(leaves);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    pass.add_gradient(static_cast<int>(i), std::move(gradients[i]));
  }
  pass.run(/*call_hooks=*/false);
}

}  // namespace shardgrad
