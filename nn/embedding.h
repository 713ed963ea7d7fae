// A table of learned vectors.
#pragma once

#include "nn/module.h"

namespace shardgrad {

/// Looks up rows of a [num_embeddings, d_model] table, replicated on every tensor-parallel rank.
class Embedding : public Module {
 public:
  /// Starts as Normal(0, standard_deviation^2). @throws Error unless both extents are positive.
  Embedding(std::int64_t num_embeddings, std::int64_t d_model, double standard_deviation = 0.02,
            const ParameterOptions& options = {});

  /// ids int32 [M] on the host -> [M, d_model]. @throws Error for an id outside
  /// [0, num_embeddings).
  Variable forward(const Tensor& ids) const;

 private:
  ParameterPointer weight_;
};

/// @throws Error, naming `where`, unless ids (int32) are on the host and all in [0, limit).
void check_ids(const Tensor& ids, std::int64_t limit, const char* where);

}  // namespace shardgrad
