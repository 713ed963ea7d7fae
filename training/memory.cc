#include "training/memory.h"

#include <algorithm>

#include "parallel/sharding.h"

namespace shardgrad {
namespace {

// Bytes of a rank for each token of its micro-batch.
struct TokenBytes {
  TokenBytes(const GPTConfig& config, const TrainingLayout& layout, DType dtype)
      : element(static_cast<double>(size_of(dtype))),
        statistic(static_cast<double>(size_of(accumulation_dtype(dtype)))),
        ranks(layout.tensor_parallel),
        sliced(layout.sequence_parallel),
        d_model(static_cast<double>(config.d_model) * element),
        d_ff(static_cast<double>(config.d_ff) * element / ranks),
        heads(static_cast<double>(config.n_heads) / ranks),
        vocabulary(element * static_cast<double>(
                                 vocabulary_rows(config.vocab_size, layout.tensor_parallel))) {}

  // Of the residual stream, or of what else is between the parallel layers.
  double stream() const { return sliced ? d_model / ranks : d_model; }

  // What a layer norm keeps: its input, its output, mean and deviation.
  double norm() const { return 2.0 * stream() + 2.0 * statistic / (sliced ? ranks : 1); }

  // What a block keeps: two norms, q, k and v, attention's output and the rows'
  // normalizers, the input of the GELU.
  double block() const { return 2.0 * norm() + 4.0 * d_model / ranks + heads * statistic + d_ff; }

  // What `count` blocks keep that will be recomputed: the stream, and the
  // branch to be added to it, which the first block does not have.
  double block_inputs(std::int64_t count) const {
    return stream() * static_cast<double>(2 * count - (count > 0 ? 1 : 0));
  }

  // A whole input and its gradient, which sequence parallelism gathers and
  // scatters.
  double crossing() const { return sliced ? 2.0 * d_model : d_model; }

  // The backward pass of the head, the last norm still kept.
  double head() const { return norm() + vocabulary + crossing() + 3.0 * statistic; }

  // That of a block: the stream's gradient; within the feed-forward layer the gradient of the
  // GELU's output, or when what the GELU kept is gone, those of its and the layer's input; within
  // attention those of its output, q, k and v, when all that the feed-forward layer kept is gone.
  double block_backward() const {
    const double feed_forward = std::max(d_ff, crossing());
    const double attention =
        3.0 * d_model / ranks + std::max(d_model / ranks, crossing()) - norm() - d_ff;
    return stream() + (sliced ? d_model : 0.0) + std::max(feed_forward, attention);
  }

  // The end of a block's second forward pass, beside the stream's gradient: the outputs of the GELU
  // and of the feed-forward layer.
  double block_again() const { return 2.0 * stream() + (sliced ? d_model : 0.0) + d_ff; }

  double element, statistic;
  std::int64_t ranks;
  bool sliced;
  double d_model, d_ff, heads, vocabulary;
};

}  // namespace

TrainingMemory estimated_step_memory(const GPTConfig& config, const TrainingLayout& layout,
                                     const BatchShape& batch, DType dtype) {
  const std::int64_t tokens =
      batch.sequences * batch.tokens / layout.data_parallel / batch.micro_batches;
  const TokenBytes bytes(config, layout, dtype);
  const std::int64_t layers = config.n_layers;
  double kept = bytes.block() * static_cast<double>(layers);
  double block = bytes.block_backward();
  if (layout.recompute == Recompute::Block) {
    kept = bytes.block_inputs(layers);
    block = std::max(block, bytes.block_again());
    // The last block is whole again, and its input no longer beside it.
    block += bytes.block() + bytes.block_inputs(layers - 1) - kept;
  }
  const auto rows = static_cast<double>(tokens);
  TrainingMemory memory;
  memory.activations = static_cast<std::int64_t>(rows * kept);
  memory.workspace = static_cast<std::int64_t>(rows * std::max(bytes.head(), block));
  return memory;
}

TrainingMemory training_memory(GPTTraining& training, const TrainingLayout& layout,
                               const BatchShape& batch) {
  const auto bytes_of = [](const Tensor& tensor) {
    return tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
  };
  const Tensor& values = training.parameters().values();
  TrainingMemory memory =
      estimated_step_memory(training.model().config(), layout, batch, values.dtype());
  memory.weights = bytes_of(values);
  memory.gradients = bytes_of(training.parameters().gradients());
  memory.optimizer = training.optimizer().state_bytes();
  return memory;
}

}  // namespace shardgrad
