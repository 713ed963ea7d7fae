#include "training/training_layout.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "TrainingLayout";

}  // namespace

std::string TrainingLayout::to_string() const {
  std::string text = fmt::format("tp={} x dp={}", tensor_parallel, data_parallel);
  if (sequence_parallel) text += ", sequence-parallel";
  if (recompute == Recompute::Block) text += ", recompute=block";
  if (zero_stage > 0) text += fmt::format(", zero={}", zero_stage);
  return text;
}

void TrainingLayout::validate(const GPTConfig& config, std::int64_t sequences, std::int64_t tokens,
                              std::int64_t micro_batches) const {
  config.validate(tensor_parallel);
  require(data_parallel >= 1, kName, "dp is {}; expected at least 1", data_parallel);
  require(!sequence_parallel || tensor_parallel > 1, kName,
          "sequence parallelism slices tokens over the tensor-parallel ranks, but tp is 1; leave "
          "--sequence-parallel out, or choose --tp=2 or more");
  require(zero_stage == 0 || zero_stage == 1, kName, "--zero={} does not exist here; choose 0 or 1",
          zero_stage);
  require(zero_stage == 0 || data_parallel > 1, kName,
          "--zero=1 shares the optimizer's state out over the data-parallel ranks, but dp is 1; "
          "choose --zero=0, or --dp=2 or more");
  const std::int64_t parts = data_parallel * micro_batches;
  require(sequences % parts == 0, kName,
          "--batch-size {} does not divide into --dp={} x --grad-accum={} micro-batches; choose a "
          "multiple of {}",
          sequences, data_parallel, micro_batches, parts);
  const std::int64_t rows = sequences / parts * tokens;
  require(
      !sequence_parallel || rows % tensor_parallel == 0, kName,
      "with --sequence-parallel, the {} x {} = {} tokens of a rank's micro-batch are sliced over "
      "tp={} ranks, which does not divide them; change the batch size or the sequence length",
      sequences / parts, tokens, rows, tensor_parallel);
}

}  // namespace shardgrad
