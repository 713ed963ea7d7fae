// Recomputation: activations that are computed twice instead of kept.
#pragma once

#include <functional>
#include <vector>

#include "autograd/variable.h"

namespace shardgrad {

/// A part of a forward pass, from some variables to others.
using RecomputedFunction = std::function<std::vector<Variable>(std::vector<Variable>)>;

/// function(inputs), of which nothing but the inputs is kept for the backward pass. It runs without
/// a graph; when the gradients of its results have come, it runs again with one, through which they
/// are passed on. Peak memory falls from the activations of all such parts to their inputs and the
/// activations of one; the price is a second forward pass.
///
/// The function must compute the same both times, as dropout does, whose mask is a function of its
/// key. What it refers to must outlive the graph. If it communicates, every rank comes to it at the
/// same place of the backward pass. `parameters` are the leaves that it uses beside its inputs: all
/// of them, since they tell the graph that gradients flow into it, and when those are complete.
/// Inputs and results are defined. Under NoGradGuard this is function(inputs).
///
/// Gradients are those of function(inputs), with the same bits if that, too, has a result's
/// gradient from outside complete before it adds what comes from within the function. Source: Chen
/// et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
/// @throws Error in backward() when a leaf with hooks (Variable::on_gradient_ready()) was left out.
std::vector<Variable> recompute(RecomputedFunction function, std::vector<Variable> inputs,
                                const std::vector<Variable>& parameters);

}  // namespace shardgrad
