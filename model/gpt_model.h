// The GPT language model.
#pragma once

#include <memory>
#include <vector>

#include "model/gpt_config.h"
#include "model/gpt_parallelism.h"
#include "model/key_value_cache.h"
#include "model/transformer_block.h"
#include "nn/embedding.h"
#include "parallel/vocab_parallel.h"

namespace shardgrad {

/// What GPTModel::forward gives.
struct GPTOutput {
  Variable logits;  ///< [B, T, vocab_size], the same on every rank
  Variable loss;    ///< float64 [1]; undefined without labels
};

/// A GPT, or this rank's shard of one. There is one model for any tensor-parallel size: in a group
/// of one the parallel layers are dense ones.
class GPTModel : public Module {
 public:
  /// `tensor_parallel` must outlive the model and its graphs, and the model its graphs. Parameters
  /// are uninitialised; see initialize_parameters(). @throws Error as GPTConfig::validate does, and
  /// for sequence parallelism in a group of one.
  GPTModel(const GPTConfig& config, Communicator& tensor_parallel,
           const ParameterOptions& options = {}, const GPTParallelism& parallelism = {});

  const GPTConfig& config() const { return config_; }

  /// Logits of every position and, with `labels`, the mean loss of predicting token t + 1 from
  /// tokens 0..t: the shift is made here, so labels may be the input_ids themselves.
  /// input_ids, attention_mask, labels int32 [B, T] on the host, where they are checked; copies go
  /// to the model's device. attention_mask (or undefined): 0 hides a token
  /// from all others; a row may be hidden whole. labels (or undefined): -100 counts for nothing.
  /// Under NoGradGuard nothing is sliced for sequence parallelism, so any B*T will do: without a
  /// graph there are no activations to save memory on.
  /// @throws Error for an id outside the vocabulary, T above max_position_embeddings, shapes that
  /// do not fit, or B*T tokens that sequence parallelism cannot slice.
  GPTOutput forward(const Tensor& input_ids, const Tensor& attention_mask, const Tensor& labels,
                    const ForwardContext& context = {}) const;

  /// The loss alone, on targets that are already shifted: targets [b, t] follows input_ids [b, t].
  /// Nothing of the logits is gathered.
  Variable loss(const Tensor& input_ids, const Tensor& targets, const ForwardContext& context,
                const CrossEntropyOptions& options = {}) const;

  /// An empty cache of `batch` sequences of up to `capacity` tokens, for this rank's heads.
  /// @throws Error when capacity is more than max_position_embeddings.
  KeyValueCache make_cache(std::int64_t batch, std::int64_t capacity) const;

  /// The logits of what follows input_ids [B, Q], the next tokens of the sequences in `cache`,
  /// which are added to it: [B, vocab_size] on the model's device, the same bits on every rank.
  /// Tokens that are in the cache already are not computed again, and of the new ones no logits but
  /// those of the last, of which the ranks gather one row a sequence. No dropout, no graph.
  /// @throws Error as forward(), and when the cache has no room for Q more tokens or was made for
  /// another batch.
  Tensor next_token_logits(const Tensor& input_ids, KeyValueCache& cache) const;

 private:
  // `context` for the layers, completed with what the input's shape [B, T] says.
  ForwardContext layer_context(const Tensor& input_ids, ForwardContext context) const;
  // From here on the context is the layers'.
  // What goes into the first block, [B*T, d_model] or this rank's slice of the rows.
  Variable embeddings(const Tensor& input_ids, const ForwardContext& context) const;
  // The output of the last layer norm, likewise.
  Variable hidden_states(const Tensor& input_ids, const Tensor& attention_mask,
                         const ForwardContext& context) const;
  // This rank's columns of the logits, [B*T, V / tp], padding included.
  Variable local_logits(const Variable& hidden, const ForwardContext& context) const;

  GPTConfig config_;
  GPTParallelism parallelism_;
  Communicator& tensor_parallel_;
  VocabParallelEmbedding token_embedding_;
  Embedding position_embedding_;
  Dropout embedding_dropout_;
  std::vector<std::unique_ptr<TransformerBlock>> blocks_;
  LayerNorm final_norm_;
  ParameterPointer head_;
};

}  // namespace shardgrad
