#include "model/gpt_model.h"

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/linear.h"
#include "parallel/regions.h"
#include "parallel/sharding.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "GPTModel";
constexpr std::int32_t kIgnoreIndex = -100;

const GPTConfig& validated(const GPTConfig& config, const Communicator& tensor_parallel,
                           const GPTParallelism& parallelism) {
  config.validate(tensor_parallel.world_size());
  require(
      !parallelism.sequence_parallel || tensor_parallel.world_size() > 1, kName,
      "sequence parallelism shares the tokens among the tensor-parallel ranks: with tp=1 it has "
      "no meaning; --sequence-parallel needs tp > 1");
  return config;
}

void require_shape(const Tensor& tensor, const Shape& shape, const char* what) {
  require(tensor.dtype() == DType::Int32 && tensor.shape() == shape && tensor.device() == Device{},
          kName, "{} is {} {} on {}; expected int32 {} on the host", what, name_of(tensor.dtype()),
          tensor.shape().to_string(), tensor.device().to_string(), shape.to_string());
}

// Of each row of [B*T] in [first_row, first_row + rows) its place in its sequence.
Tensor positions(std::int64_t first_row, std::int64_t rows, const ForwardContext& context) {
  Tensor ids = Tensor::empty({rows}, DType::Int32);
  std::int32_t* id = ids.data<std::int32_t>();
  for (std::int64_t i = 0; i < rows; ++i) {
    id[i] = static_cast<std::int32_t>(context.first_position + (first_row + i) % context.tokens);
  }
  return ids;
}

// targets [b, t] = labels [b, t + 1]; nothing follows the last token. [B*T].
Tensor shifted(const Tensor& labels) {
  const std::int64_t tokens = labels.size(1);
  Tensor targets = labels.clone().reshape({labels.numel()});
  std::int32_t* target = targets.data<std::int32_t>();
  for (std::int64_t i = 0; i < targets.numel(); ++i) {
    target[i] = (i + 1) % tokens == 0 ? kIgnoreIndex : target[i + 1];
  }
  return targets;
}

// The last row of each of `batch` sequences in x [B*T, D]: [B, D].
Variable last_rows(const Variable& x, std::int64_t batch) {
  const std::int64_t tokens = x.size(0) / batch, width = x.size(1);
  if (tokens == 1) return x;
  const Tensor rows = x.value().reshape({batch, tokens, width}).slice(1, tokens - 1, 1);
  return Variable(rows.contiguous().reshape({batch, width}));
}

}  // namespace

GPTModel::GPTModel(const GPTConfig& config, Communicator& tensor_parallel,
                   const ParameterOptions& options, const GPTParallelism& parallelism)
    : config_(validated(config, tensor_parallel, parallelism)),
      parallelism_(parallelism),
      tensor_parallel_(tensor_parallel),
      token_embedding_(config.vocab_size, config.d_model, tensor_parallel, config.initializer_range,
                       options),
      position_embedding_(config.max_position_embeddings, config.d_model, config.initializer_range,
                          on_tokens(options, parallelism)),
      embedding_dropout_(config.dropout, "embedding"),
      final_norm_(config.d_model, config.layer_norm_epsilon, on_tokens(options, parallelism)) {
  register_module("token_embedding", token_embedding_);
  register_module("position_embedding", position_embedding_);
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    blocks_.push_back(
        std::make_unique<TransformerBlock>(config, layer, tensor_parallel, parallelism, options));
    register_module("blocks." + std::to_string(layer), *blocks_.back());
  }
  register_module("final_norm", final_norm_);
  head_ = config.tie_embeddings
              ? token_embedding_.weight()
              : register_parameter(
                    "head.weight",
                    vocabulary_sharded_over(tensor_parallel, {config.vocab_size, config.d_model}),
                    Initializer::normal(config.initializer_range), options);
}

ForwardContext GPTModel::layer_context(const Tensor& input_ids, ForwardContext context) const {
  require(input_ids.rank() == 2 && input_ids.dtype() == DType::Int32 && input_ids.numel() > 0,
          kName, "input_ids is {} {}; expected int32 [B, T]", name_of(input_ids.dtype()),
          input_ids.shape().to_string());
  require_shape(input_ids, input_ids.shape(), "input_ids");
  const std::int64_t batch = input_ids.size(0), tokens = input_ids.size(1);
  require(tokens <= config_.max_position_embeddings, kName,
          "{} tokens are more than max_position_embeddings {}; shorten the sequence", tokens,
          config_.max_position_embeddings);
  context.tokens = tokens;
  context.layout = TokenLayout::Replicated;
  context.first_slice_row = 0;
  if (parallelism_.sequence_parallel && is_recording()) {
    const std::int64_t ranks = tensor_parallel_.world_size();
    require(batch * tokens % ranks == 0, kName,
            "sequence parallelism cannot slice {} sequences of {} tokens, B*T = {} rows, over "
            "tp={}; choose a batch or a length of which tp divides the product",
            batch, tokens, batch * tokens, ranks);
    context.layout = TokenLayout::Sliced;
    context.first_slice_row = tensor_parallel_.rank() * (batch * tokens / ranks);
  }
  return context;
}

Variable GPTModel::embeddings(const Tensor& input_ids, const ForwardContext& context) const {
  const Tensor ids = input_ids.contiguous().reshape({input_ids.numel()});
  const Variable words = token_embedding_.forward(ids, context.layout);
  const Variable places =
      position_embedding_.forward(positions(context.first_slice_row, words.size(0), context));
  return embedding_dropout_.forward(add(words, places), context);
}

Variable GPTModel::hidden_states(const Tensor& input_ids, const Tensor& attention_mask,
                                 const ForwardContext& context) const {
  if (attention_mask.defined()) require_shape(attention_mask, input_ids.shape(), "attention_mask");
  const Tensor mask = attention_mask.defined()
                          ? attention_mask.contiguous().to(head_->variable.value().device())
                          : Tensor();
  ResidualStream stream;
  stream.value = embeddings(input_ids, context);
  for (const auto& block : blocks_) stream = block->forward(std::move(stream), mask, context);
  return final_norm_.forward(stream);
}

Variable GPTModel::local_logits(const Variable& hidden, const ForwardContext& context) const {
  return linear(hidden, head_->variable, Variable(),
                context.layout == TokenLayout::Sliced
                    ? gathered_input(tensor_parallel_, parallelism_.overlap)
                    : copied_input(tensor_parallel_, parallelism_.overlap));
}

GPTOutput GPTModel::forward(const Tensor& input_ids, const Tensor& attention_mask,
                            const Tensor& labels, const ForwardContext& context) const {
  if (labels.defined()) require_shape(labels, input_ids.shape(), "labels");
  const ForwardContext inner = layer_context(input_ids, context);
  const Variable local = local_logits(hidden_states(input_ids, attention_mask, inner), inner);
  GPTOutput output;
  const Variable all = gather_from_tensor_parallel(local, tensor_parallel_);  // padding included
  output.logits = reshape(first_columns(all, config_.vocab_size),
                          {input_ids.size(0), input_ids.size(1), config_.vocab_size});
  if (labels.defined()) {
    output.loss =
        vocab_parallel_cross_entropy(local, shifted(labels), config_.vocab_size, tensor_parallel_);
  }
  return output;
}

Variable GPTModel::loss(const Tensor& input_ids, const Tensor& targets,
                        const ForwardContext& context, const CrossEntropyOptions& options) const {
  require_shape(targets, input_ids.shape(), "targets");
  const ForwardContext inner = layer_context(input_ids, context);
  return vocab_parallel_cross_entropy(local_logits(hidden_states(input_ids, {}, inner), inner),
                                      targets.contiguous().reshape({targets.numel()}),
                                      config_.vocab_size, tensor_parallel_, options);
}

KeyValueCache GPTModel::make_cache(std::int64_t batch, std::int64_t capacity) const {
  require(capacity <= config_.max_position_embeddings, kName,
          "a cache for {} tokens is longer than max_position_embeddings {}", capacity,
          config_.max_position_embeddings);
  const Tensor& like = head_->variable.value();
  return KeyValueCache(
      {config_.n_layers, batch, capacity, 2 * config_.d_model / tensor_parallel_.world_size()},
      like.dtype(), like.device());
}

Tensor GPTModel::next_token_logits(const Tensor& input_ids, KeyValueCache& cache) const {
  const NoGradGuard no_graph;  // so that the tokens are not sliced either
  ForwardContext context = layer_context(input_ids, {});
  context.first_position = cache.length();
  const std::int64_t batch = input_ids.size(0);
  require(batch == cache.batch(), kName, "input_ids has {} sequences, but the cache {}", batch,
          cache.batch());
  require(context.tokens <= cache.capacity() - cache.length(), kName,
          "{} more tokens do not fit into a cache that has {} and room for {}; truncate it first",
          context.tokens, cache.length(), cache.capacity());
  ResidualStream stream;
  stream.value = embeddings(input_ids, context);
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    stream = blocks_[layer]->forward_cached(std::move(stream),
                                            cache.layer(static_cast<std::int64_t>(layer)), context);
  }
  cache.set_length(cache.length() + context.tokens);
  stream.value = last_rows(stream.value, batch);
  stream.branch = last_rows(stream.branch, batch);
  const Variable local = local_logits(final_norm_.forward(stream), context);
  return first_columns(gather_from_tensor_parallel(local, tensor_parallel_), config_.vocab_size)
      .value();
}

}  // namespace shardgrad
