// TrainingLayout: how a training run is spread over its ranks.
#pragma once

#include <string>

#include "model/gpt_config.h"
#include "model/gpt_parallelism.h"

namespace shardgrad {

/// Choices that change speed and memory, not the numbers: see GPTTraining.
struct TrainingLayout {
  int tensor_parallel = 1;  ///< ranks that share one copy of the model
  int data_parallel = 1;    ///< copies of the model
  bool sequence_parallel = false;
  Recompute recompute = Recompute::None;
  int zero_stage = 0;  ///< see DataParallelOptions
  /// Communicate while computing: the column-parallel layers' backward collectives, and the
  /// reduction of gradients over the data-parallel ranks.
  bool overlap = true;
  std::int64_t bucket_bytes = 25 << 20;  ///< see DataParallelOptions

  int world_size() const { return tensor_parallel * data_parallel; }

  /// "tp=2 x dp=2, sequence-parallel, recompute=block, zero=1".
  std::string to_string() const;

  /// @throws Error naming the option, its value and what would be right, when `config` does not
  /// split like this, or a step of `sequences` x `tokens` in `micro_batches`, or when an option has
  /// no meaning with the others.
  void validate(const GPTConfig& config, std::int64_t sequences, std::int64_t tokens,
                std::int64_t micro_batches) const;
};

}  // namespace shardgrad
