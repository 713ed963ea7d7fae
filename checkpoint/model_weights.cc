#include "checkpoint/model_weights.h"

#include <map>

#include "checkpoint/shard_runs.h"

namespace shardgrad {

void read_weights(const GPTModel& model, const Gpt2Folder& folder) {
  std::map<std::string, Gpt2Tensor> sources;  // by parameter
  for (const Gpt2Tensor& tensor : gpt2_tensors(model.config())) sources[tensor.parameter] = tensor;
  for (const NamedParameter& entry : model.named_parameters()) {
    const auto found = sources.find(entry.name);
    require(found != sources.end(), "checkpoint", "GPT-2 has no tensor for {}", entry.name);
    const Gpt2Tensor& source = found->second;
    const StoredTensor& stored = folder.stored(source);
    const ShardSpec shard =
        source.transposed ? transposed(entry.parameter->shard) : entry.parameter->shard;
    Tensor value = entry.parameter->variable.value();
    Tensor local = Tensor::zeros({value.numel()}, value.dtype());
    read_runs(folder.files().data(stored), stored, local, shard, {0, local.numel()});
    local = local.reshape(shard.local_shape());
    value.copy_from(source.transposed ? local.transpose(0, 1).contiguous() : local);
  }
}

}  // namespace shardgrad
