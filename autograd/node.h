// Node: one vertex of the autograd graph. Internal to the autograd package.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "autograd/variable.h"

namespace shardgrad {

/// The gradient side of a Variable: who computed it, from what, and the gradient collected so far.
struct Node {
  const char* name = "leaf";
  bool is_leaf = true;
  bool used = false;  // backward has run: inputs and function are gone

  // Of the gradient. A leaf collects its own in the accumulation dtype of its value, since it may
  // be a sum over many micro-batches; what an operation passes on has the dtype of its value.
  Shape shape;
  DType dtype = DType::Float32;
  Device device;

  // The gradient, or (a leaf between steps) the memory kept for the next one.
  Tensor gradient;
  bool has_gradient = false;

  std::vector<std::shared_ptr<Node>> inputs;  // null where no gradient may flow
  std::function<void(Gradients&)> backward;
  SavedTensor::Recompute recompute;                // the value again; see Variable::set_recompute()
  std::vector<std::function<void()>> ready_hooks;  // leaves only

  // How often the node is an input of those that have yet to run, or are running, in the passes
  // under way. After a pass that was broken off it may be too large.
  int consumers_to_run = 0;

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();
};

}  // namespace shardgrad
