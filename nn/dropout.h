// Dropout as a layer: it knows its place in the model.
#pragma once

#include <string_view>

#include "autograd/functions/dropout.h"
#include "nn/forward_context.h"

namespace shardgrad {

/// Zeroes elements of a token matrix with a given probability while training. The mask is a
/// function of (seed, site, layer, step, global element): where the matrix is replicated the same
/// on every rank, and a slice's mask is a slice of it.
class Dropout {
 public:
  /// `site` and `layer` tell this layer's masks from those of all others.
  /// @throws Error unless 0 <= probability < 1.
  Dropout(double probability, std::string_view site, std::int64_t layer = 0);

  /// dropout(x); x [B*T, D], or this rank's slice of its rows. x itself when not training.
  Variable forward(const Variable& x, const ForwardContext& context) const;

  /// The mask of a token matrix [B*T, columns], or of the slice that `context` says: for a function
  /// that applies it together with something else.
  DropoutMask token_mask(const ForwardContext& context, std::int64_t columns) const;

  /// The mask of a tensor whose first element has global index `first_element`.
  DropoutMask mask(const ForwardContext& context, std::int64_t first_element) const;

 private:
  double probability_;
  std::uint64_t stream_;
};

}  // namespace shardgrad
