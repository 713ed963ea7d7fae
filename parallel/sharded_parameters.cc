#include "parallel/sharded_parameters.h"

#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/reduce.h"

namespace shardgrad {

namespace {

// The stretches of the flat buffers whose parameters satisfy `wanted`; neighbours are joined.
template <class Predicate>
std::vector<FlatRange> ranges_of(const FlatParameters& parameters, const Predicate& wanted) {
  std::vector<FlatRange> ranges;
  for (std::size_t i = 0; i < parameters.parameters().size(); ++i) {
    if (!wanted(*parameters.parameters()[i].parameter)) continue;
    const FlatRange& range = parameters.range(i);
    if (!ranges.empty() && ranges.back().end == range.begin) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
  }
  return ranges;
}

// The square of the norm of this rank's gradients that count: one float64 element.
Tensor sum_of_counted_squares(FlatParameters& parameters, const Communicator& tensor_parallel,
                              const std::vector<FlatRange>& owned) {
  parameters.complete_gradients();
  const Tensor& gradients = parameters.gradients();
  Tensor total = Tensor::zeros({1}, DType::Float64, gradients.device());
  Tensor square = Tensor::empty_like(total);
  const bool first = tensor_parallel.rank() == 0;
  const auto counts = [&](const Parameter& p) { return p.shard.is_sharded() || first; };
  for (const FlatRange& counted : ranges_of(parameters, counts)) {
    for (const FlatRange& range : intersections(owned, counted)) {
      kernels::sum_of_squares(gradients.slice(0, range.begin, range.length()), square);
      kernels::add(total, square, total);
    }
  }
  return total;
}

std::vector<FlatRange> everything(const FlatParameters& parameters) {
  return {{0, parameters.numel()}};
}

}  // namespace

void sum_partial_gradients(FlatParameters& parameters, Communicator& tensor_parallel,
                           const std::vector<FlatRange>& owned) {
  if (tensor_parallel.world_size() == 1) return;
  parameters.complete_gradients();
  const auto is_partial = [](const Parameter& p) { return p.partial_gradient; };
  for (const FlatRange& partial : ranges_of(parameters, is_partial)) {
    for (const FlatRange& range : intersections(owned, partial)) {
      Tensor gradient = parameters.gradients().slice(0, range.begin, range.length());
      tensor_parallel.all_reduce(gradient);
    }
  }
}

void sum_partial_gradients(FlatParameters& parameters, Communicator& tensor_parallel) {
  sum_partial_gradients(parameters, tensor_parallel, everything(parameters));
}

Tensor gradient_norm(FlatParameters& parameters, Communicator& tensor_parallel) {
  Tensor total = sum_of_counted_squares(parameters, tensor_parallel, everything(parameters));
  tensor_parallel.all_reduce(total);
  kernels::square_root(total, total);
  return total;
}

Tensor gradient_norm(FlatParameters& parameters, Communicator& tensor_parallel,
                     const std::vector<FlatRange>& owned, Communicator& data_parallel) {
  Tensor total = sum_of_counted_squares(parameters, tensor_parallel, owned);
  tensor_parallel.all_reduce(total);
  data_parallel.all_reduce(total);
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
