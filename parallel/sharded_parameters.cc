#include "parallel/sharded_parameters.h"

#include <cmath>

#include "tensor/kernels/reduce.h"

namespace shardgrad {

double gradient_norm(const FlatParameters& parameters, Communicator& tensor_parallel) {
  const Device device = parameters.parameters().front().parameter->variable.value().device();
  Tensor square = Tensor::empty({1}, DType::Float64, device);
  double sharded = 0.0, replicated = 0.0;
  for (const auto& [name, parameter] : parameters.parameters()) {
    const Tensor gradient = parameter->variable.gradient();
    if (!gradient.defined()) continue;  // not reached: zero
    kernels::sum_of_squares(gradient, square);
    (parameter->shard.is_sharded() ? sharded : replicated) += square.item();
  }
  square.fill(sharded);
  tensor_parallel.all_reduce(square);
  return std::sqrt(square.item() + replicated);
}

Tensor gather_shards(const Tensor& local, const ShardSpec& shard, Communicator& tensor_parallel) {
  require(local.shape() == shard.local_shape(), "gather_shards",
          "the local tensor is {}; its shard specification says {}", local.shape().to_string(),
          shard.local_shape().to_string());
  if (!shard.is_sharded()) return local.clone();
  const std::int64_t count = local.numel();
  Tensor all = Tensor::empty({shard.size * count}, local.dtype(), local.device());
  tensor_parallel.all_gather(local.contiguous().reshape({count}), all);
  Tensor global = Tensor::empty(shard.global_shape, local.dtype(), local.device());
  const Tensor elements = global.reshape({global.numel()});
  for (int rank = 0; rank < shard.size; ++rank) {
    ShardSpec theirs = shard;
    theirs.rank = rank;
    theirs.for_each_run([&](std::int64_t from, std::int64_t to, std::int64_t length) {
      Tensor destination = elements.slice(0, to, length);
      destination.copy_from(all.slice(0, rank * count + from, length));
    });
  }
  return global;
}

}  // namespace shardgrad
