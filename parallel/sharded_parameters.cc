#include "parallel/sharded_parameters.h"

#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/reduce.h"

namespace shardgrad {

Tensor gradient_norm(FlatParameters& parameters, Communicator& tensor_parallel) {
  parameters.complete_gradients();
  const Tensor& gradients = parameters.gradients();
  Tensor total = Tensor::zeros({1}, DType::Float64, gradients.device());
  Tensor square = Tensor::empty_like(total);
  // Neighbours that count are summed in one go; the gaps between them hold zeros.
  std::int64_t begin = 0, end = 0;
  const auto add_run = [&] {
    if (begin == end) return;
    kernels::sum_of_squares(gradients.slice(0, begin, end - begin), square);
    kernels::add(total, square, total);
  };
  for (std::size_t i = 0; i < parameters.parameters().size(); ++i) {
    const ShardSpec& shard = parameters.parameters()[i].parameter->shard;
    const bool counts = shard.is_sharded() || tensor_parallel.rank() == 0;
    if (!counts) {
      add_run();
      begin = end = parameters.offset(i + 1);
    } else {
      end = parameters.offset(i + 1);
    }
  }
  add_run();
  tensor_parallel.all_reduce(total);
  kernels::square_root(total, total);
  return total;
}

Tensor gather_shards(const Tensor& local, const ShardSpec& shard, Communicator& tensor_parallel) {
  require(local.shape() == shard.local_shape(), "gather_shards",
          "the local tensor is {}; its shard specification says {}", local.shape().to_string(),
          shard.local_shape().to_string());
  if (!shard.is_cut()) return local.clone();
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
