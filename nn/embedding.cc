#include "nn/embedding.h"

#include "autograd/functions/embedding.h"

namespace shardgrad {

Embedding::Embedding(std::int64_t num_embeddings, std::int64_t d_model, double standard_deviation,
                     const ParameterOptions& options) {
  require(num_embeddings > 0 && d_model > 0, "Embedding",
          "num_embeddings {} and d_model {} must be positive", num_embeddings, d_model);
  weight_ = register_parameter("weight", ShardSpec::replicated({num_embeddings, d_model}),
                               Initializer::normal(standard_deviation), options);
}

Variable Embedding::forward(const Tensor& ids) const {
  check_ids(ids, weight_->variable.size(0), "Embedding");
  return embedding(ids, weight_->variable);
}

void check_ids(const Tensor& ids, std::int64_t limit, const char* where) {
  require(ids.device() == Device{}, where,
          "the ids are on {}; expected them on the host, where they are checked",
          ids.device().to_string());
  const Tensor dense = ids.contiguous();
  const std::int32_t* id = dense.data<std::int32_t>();
  for (std::int64_t i = 0; i < dense.numel(); ++i) {
    require(id[i] >= 0 && id[i] < limit, where,
            "id {} at position {} is outside the table; use ids in [0, {})", id[i], i, limit);
  }
}

}  // namespace shardgrad
