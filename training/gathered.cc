#include "training/gathered.h"

#include "parallel/sharded_parameters.h"

namespace shardgrad {
namespace {

// `flat` is laid out as the flat buffers are, of which the rank has its own elements.
NamedTensors gathered(GPTTraining& training, Tensor flat) {
  training.data_parallel().gather(flat);
  NamedTensors all;
  const FlatParameters& parameters = training.parameters();
  for (std::size_t i = 0; i < parameters.parameters().size(); ++i) {
    const auto& [name, parameter] = parameters.parameters()[i];
    const Shape shape = parameter->shard.local_shape();
    const Tensor local = flat.slice(0, parameters.offset(i), shape.numel()).reshape(shape);
    all[name] =
        gather_shards(local, parameter->shard, training.mesh().tensor_parallel()).to(Device{});
  }
  return all;
}

}  // namespace

NamedTensors gather_parameters(GPTTraining& training) {
  return gathered(training, training.parameters().values().clone());
}

NamedTensors gather_gradients(GPTTraining& training) {
  return gathered(training, training.parameters().gradients().clone());
}

}  // namespace shardgrad
