// Variable: a tensor that remembers how it was computed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/saved_tensor.h"
#include "tensor/tensor.h"

namespace shardgrad {

class BackwardPass;
class Gradients;
struct Node;

/// A value and, if a gradient may flow into it, its place in the graph. Copies are handles on the
/// same value and the same place. A leaf (made by this class's constructor) keeps its gradient; the
/// result of an operation passes its gradient on.
class Variable {
 public:
  /// An undefined variable: "no bias".
  Variable() = default;

  /// A leaf; its gradient is collected by backward() when `requires_grad`.
  explicit Variable(Tensor value, bool requires_grad = false);

  bool defined() const { return value_.defined(); }
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  std::int64_t size(int dim) const { return value_.size(dim); }
  bool requires_grad() const { return node_ != nullptr; }

  /// Write access to a leaf's value, for optimizers and loaders. The graph does not see the change.
  Tensor& mutable_value() { return value_; }

  /// The gradient that backward() has collected in this leaf, in the accumulation dtype of the
  /// value; undefined when there is none.
  Tensor gradient() const;

  /// Forgets a leaf's gradient. Its memory is kept: the next gradient overwrites it.
  void clear_gradient();

  /// Makes `buffer` (the value's shape, its accumulation dtype) the memory in which this leaf's
  /// gradient is collected, e.g. a view of one flat buffer for all parameters. Its content does not
  /// count.
  void set_gradient_buffer(Tensor buffer);

  /// Calls `hook` during each backward() as soon as this leaf's gradient is complete.
  void on_gradient_ready(std::function<void()> hook);

  /// The value alone, moved out of the variable: with no other handle left, an operation may then
  /// write into its memory.
  Tensor release_value() && { return std::move(value_); }

  /// The value for the backward pass of an operation that reads it: a handle on it, or the way to
  /// compute it again.
  SavedTensor saved() const;

  /// Lets the backward passes of later operations compute this value again instead of keeping it:
  /// for the output of a cheap operation whose inputs are kept anyway. `recompute` gives the same
  /// numbers up to rounding; it is dropped with the operation's own backward function, and at once
  /// when no gradient flows into this variable.
  ///
  /// The last operation to ask may have it given this variable's complete gradient, which nobody
  /// else holds. What the two functions of an operation both compute can then be computed once:
  /// `recompute` may already turn the gradient into that of the operation's input, in place, and
  /// tell the backward function, whose output() it will be, to pass it on.
  void set_recompute(SavedTensor::Recompute recompute);

 private:
  friend class Gradients;
  friend Variable record(const char*, std::vector<Variable>, Tensor,
                         std::function<void(Gradients&)>);
  friend class BackwardPass;

  Node& leaf_node(const char* where) const;

  Tensor value_;
  std::shared_ptr<Node> node_;
};

/// What an operation's backward function reads and writes: the gradient of its output, and those of
/// its inputs.
class Gradients {
 public:
  /// d loss / d output, contiguous.
  const Tensor& output() const { return output_; }

  /// Moves d loss / d output out: the caller may write into it if it is the sole owner. output() is
  /// undefined afterwards.
  Tensor take_output() { return std::move(output_); }

  /// False for an input that no gradient may flow into: its gradient need not be computed.
  bool needed(int input) const;

  /// Where to write the gradient of an input.
  struct Target {
    Tensor gradient;  ///< the input's shape and dtype (a leaf's: accumulation dtype), contiguous
    bool accumulate;  ///< add to what it holds; when false it is uninitialised, overwrite it
  };
  /// The memory that collects the gradient of `input`, for a kernel that can add to it: a GEMM with
  /// beta = 1 straight into the flat gradient buffer. The kernel must write all of it, and the
  /// target be let go of before that of another input, which may be the same variable.
  Target target(int input);

  /// The dtype in which the gradient of `input`, which must be needed, is collected: the input's
  /// own, or if it is a leaf its accumulation dtype.
  DType target_dtype(int input) const;

  /// Hands over a finished gradient of `input`, in the dtype of the input or in its accumulation
  /// dtype. The tensor is kept, not copied, unless something is there to add it to or its dtype is
  /// not the one that is collected.
  void add(int input, Tensor gradient);

  /// The gradient of `input` if with what this function has given it is complete and nobody else
  /// holds it; else null. For SavedTensor::get(), when this function will not read or add to that
  /// gradient any more, nor read the input's value other than what it is about to get.
  Tensor* complete_gradient(int input) const;

  /// output() itself when nobody else holds it, so that a gradient may be computed in place;
  /// otherwise an uninitialised tensor like it.
  Tensor scratch_like_output() const;

 private:
  friend class BackwardPass;
  Gradients(Node& node, Tensor output) : node_(node), output_(std::move(output)) {}

  Node& node_;
  Tensor output_;
};

/// Makes `value` the result of operation `name` on `inputs`, with the function that computes the
/// inputs' gradients. The function runs at most once and is then dropped with all it holds. When no
/// input needs a gradient, or within NoGradGuard, the result is a constant and the function is
/// dropped at once.
Variable record(const char* name, std::vector<Variable> inputs, Tensor value,
                std::function<void(Gradients&)> backward);

/// Computes d(seed * loss) / d leaf for every leaf below `loss` and adds it to the leaf's gradient.
/// `loss` has one element. Each operation's saved tensors are freed as soon as it has run, so a
/// graph serves one call.
/// Method: reverse-mode differentiation in a topological order found by one iterative traversal at
/// the time of the call; what does not lead to `loss` takes no part.
/// @throws Error when `loss` is not one element, has no graph, or its graph has been used.
void backward(const Variable& loss, double seed = 1.0);

/// The same from several results, within a backward function that has computed a part of the
/// forward pass once more: gradients[i], of the shape and dtype of outputs[i], is d loss /
/// d outputs[i]. `leaves` are those leaves below the outputs whose gradients the pass under way
/// completes; it calls their hooks, this one does not.
/// @throws Error when an output has no graph, the graph has been used, or there is a leaf with
/// hooks below it that is not among `leaves`.
void backward_within(const std::vector<Variable>& outputs, std::vector<Tensor> gradients,
                     const std::vector<Variable>& leaves);

/// Whether operations of this thread record: unless a NoGradGuard lives, or backward() runs.
bool is_recording();

/// While it lives, operations of this thread record nothing: for evaluation and generation.
class NoGradGuard {
 public:
  NoGradGuard();
  ~NoGradGuard();
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool previous_;
};

/// While it lives, operations of this thread record also within backward(): for what is computed
/// there once more in order to be differentiated.
class RecordingGuard {
 public:
  RecordingGuard();
  ~RecordingGuard();
  RecordingGuard(const RecordingGuard&) = delete;
  RecordingGuard& operator=(const RecordingGuard&) = delete;

 private:
  bool previous_;
};

}  // namespace shardgrad
