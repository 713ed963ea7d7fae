#include "training/expected_traffic.h"

#include "parallel/sharding.h"
#include "tensor/round_up.h"

namespace shardgrad {
namespace {

// Elements of a rank's parameters.
struct LocalElements {
  std::int64_t matrices = 0;
  std::int64_t vectors = 0;
  std::int64_t partial_matrices = 0;  // of them, those with partial gradients
  std::int64_t partial_vectors = 0;

  std::int64_t all() const { return matrices + vectors; }
};

LocalElements local_elements(const GPTConfig& config, std::int64_t tp) {
  const std::int64_t d = config.d_model, f = config.d_ff, layers = config.n_layers;
  const std::int64_t rows = vocabulary_rows(config.vocab_size, static_cast<int>(tp));
  LocalElements count;
  count.partial_matrices = config.max_position_embeddings * d;
  count.matrices = rows * d * (config.tie_embeddings ? 1 : 2) + count.partial_matrices +
                   layers * (4 * d * d + 2 * d * f) / tp;
  count.partial_vectors = layers * (4 * d + 2 * d) + 2 * d;
  count.vectors = count.partial_vectors + layers * (3 * d + f) / tp;
  return count;
}

void add(CollectiveCount& count, std::int64_t calls, std::int64_t bytes) {
  count = count + CollectiveCount{calls, calls * bytes};
}

CommunicationStats of_tensor_parallelism(const GPTConfig& config, const TrainingLayout& layout,
                                         const BatchShape& batch, DType dtype) {
  const auto bytes = static_cast<std::int64_t>(size_of(dtype)),
             accumulator = static_cast<std::int64_t>(size_of(accumulation_dtype(dtype)));
  const std::int64_t rows =
      batch.sequences * batch.tokens / layout.data_parallel / batch.micro_batches;
  const std::int64_t activations = rows * config.d_model * bytes;
  const std::int64_t layers = config.n_layers, times = batch.micro_batches;
  // Entrances and exits of the sharded layers, forward; the embedding has no entrance, the head no
  // exit. Backward the same number of conjugates.
  const std::int64_t entrances = 2 * layers + 1, exits = 2 * layers + 1;
  const std::int64_t repeated = layout.recompute == Recompute::Block ? 2 * layers : 0;
  CommunicationStats stats;
  if (layout.sequence_parallel) {
    const std::int64_t gathered_again = entrances;
    add(stats.all_gather, times * (entrances + gathered_again + exits + repeated), activations);
    add(stats.reduce_scatter, times * (exits + entrances + repeated), activations);
    const LocalElements elements = local_elements(config, layout.tensor_parallel);
    const std::int64_t share = layout.zero_stage == 1 ? layout.data_parallel : 1;
    add(stats.all_reduce, 1, elements.partial_matrices * accumulator / share);
    add(stats.all_reduce, 1, elements.partial_vectors * accumulator / share);
  } else {
    add(stats.all_reduce, times * (entrances + exits + repeated), activations);
  }
  add(stats.all_reduce, times, rows * accumulator);      // the rows' maxima
  add(stats.all_reduce, times, 2 * rows * accumulator);  // their sums of exponentials, and targets
  add(stats.all_reduce, 1, 8);                           // the gradient norm
  return stats;
}

CommunicationStats of_data_parallelism(const GPTConfig& config, const TrainingLayout& layout,
                                       DType dtype) {
  const auto bytes = static_cast<std::int64_t>(size_of(dtype)),
             accumulator = static_cast<std::int64_t>(size_of(accumulation_dtype(dtype)));
  const LocalElements elements = local_elements(config, layout.tensor_parallel);
  const std::int64_t buckets = parts_of(elements.matrices * accumulator, layout.bucket_bytes) +
                               parts_of(elements.vectors * accumulator, layout.bucket_bytes);
  CommunicationStats stats;
  const CollectiveCount gradients{buckets, elements.all() * accumulator};
  if (layout.zero_stage == 1) {
    stats.reduce_scatter = gradients;
    stats.all_gather = {buckets, elements.all() * bytes};
    add(stats.all_reduce, 1, 8);  // the gradient norm
  } else {
    stats.all_reduce = gradients;
  }
  add(stats.all_reduce, 2, 8);  // the number of targets, and the loss
  return stats;
}

}  // namespace

ExpectedTraffic expected_traffic(const GPTConfig& config, const TrainingLayout& layout,
                                 const BatchShape& batch, DType dtype) {
  ExpectedTraffic traffic;
  if (layout.tensor_parallel > 1) {
    traffic.tensor_parallel = of_tensor_parallelism(config, layout, batch, dtype);
  }
  if (layout.data_parallel > 1) {
    traffic.data_parallel = of_data_parallelism(config, layout, dtype);
  }
  return traffic;
}

}  // namespace shardgrad
