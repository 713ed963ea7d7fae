#include "parallel/regions.h"

#include "parallel/sharding.h"

namespace shardgrad {
namespace {

using Transform = Tensor (*)(Tensor x, Communicator& group);

Tensor identity(Tensor x, Communicator&) { return x.contiguous(); }

// The elements of x where they may be overwritten: its own memory if nobody else holds it.
Tensor reducible(Tensor x) {
  return x.is_sole_owner() && x.is_contiguous() ? std::move(x) : x.clone();
}

Tensor all_reduced(Tensor x, Communicator& group) {
  Tensor sum = reducible(std::move(x));
  group.all_reduce(sum);
  return sum;
}

// This rank's part of the last dim.
Tensor own_part(Tensor x, Communicator& group) {
  const std::int64_t part = x.size(-1) / group.world_size();
  return x.slice(x.rank() - 1, group.rank() * part, part).contiguous();
}

// The parts of all ranks along the last dim. They arrive one after the other, so are interleaved.
Tensor all_parts(Tensor x, Communicator& group) {
  const std::int64_t ranks = group.world_size(), rows = x.size(0), part = x.size(1);
  Tensor stacked = Tensor::empty({ranks * rows, part}, x.dtype(), x.device());
  group.all_gather(x.contiguous(), stacked);
  return stacked.reshape({ranks, rows, part})
      .transpose(0, 1)
      .contiguous()
      .reshape({rows, ranks * part});
}

Tensor empty_rows(const Tensor& x, Communicator& group) {
  return Tensor::empty({x.size(0) * group.world_size(), x.size(1)}, x.dtype(), x.device());
}

// The slices of all ranks, one below the other.
Tensor all_rows(Tensor x, Communicator& group) {
  Tensor all = empty_rows(x, group);
  group.all_gather(x.contiguous(), all);
  return all;
}

Tensor empty_slice(const Tensor& x, Communicator& group) {
  return Tensor::empty({x.size(0) / group.world_size(), x.size(1)}, x.dtype(), x.device());
}

// This rank's slice of the sum over the ranks.
Tensor own_rows_of_sum(Tensor x, Communicator& group) {
  Tensor slice = empty_slice(x, group);
  group.reduce_scatter(x.contiguous(), slice);
  return slice;
}

// The one combinator: a transformation of the value, and its conjugate for the gradient.
Variable region(const char* name, Variable x, Communicator& group, Transform forward,
                Transform backward) {
  require(x.value().rank() == 2, name, "x is {}; expected [M, N]", x.shape().to_string());
  if (group.world_size() == 1) return x;
  Tensor value = std::move(x).release_value();  // x is left as the graph's edge only
  return record(name, {std::move(x)}, forward(std::move(value), group),
                [&group, backward](Gradients& gradients) {
                  gradients.add(0, backward(gradients.take_output(), group));
                });
}

// A crossing that is over when it has begun.
Crossing at_once(Transform transform, Communicator& group) {
  return [transform, &group](Tensor x) {
    return [result = transform(std::move(x), group)] { return result; };
  };
}

// `result`, which the queue is working on, once that is done.
std::function<Tensor()> when_done(CommunicationQueue& queue, CommunicationQueue::Ticket ticket,
                                  Tensor result) {
  return [&queue, ticket = std::move(ticket), result = std::move(result)]() mutable {
    queue.wait(ticket);
    return std::move(result);
  };
}

}  // namespace

Variable copy_to_tensor_parallel(Variable x, Communicator& tensor_parallel) {
  return region("copy_to_tensor_parallel", std::move(x), tensor_parallel, identity, all_reduced);
}

Variable reduce_from_tensor_parallel(Variable x, Communicator& tensor_parallel) {
  return region("reduce_from_tensor_parallel", std::move(x), tensor_parallel, all_reduced,
                identity);
}

Variable scatter_to_tensor_parallel(Variable x, Communicator& tensor_parallel) {
  divided(x.size(-1), tensor_parallel.world_size(), "scatter_to_tensor_parallel", "last extent");
  return region("scatter_to_tensor_parallel", std::move(x), tensor_parallel, own_part, all_parts);
}

Variable gather_from_tensor_parallel(Variable x, Communicator& tensor_parallel) {
  return region("gather_from_tensor_parallel", std::move(x), tensor_parallel, all_parts, own_part);
}

Variable gather_from_sequence_parallel(Variable x, Communicator& tensor_parallel) {
  return region("gather_from_sequence_parallel", std::move(x), tensor_parallel, all_rows,
                own_rows_of_sum);
}

Variable reduce_scatter_to_sequence_parallel(Variable x, Communicator& tensor_parallel) {
  divided(x.size(0), tensor_parallel.world_size(), "reduce_scatter_to_sequence_parallel", "rows");
  return region("reduce_scatter_to_sequence_parallel", std::move(x), tensor_parallel,
                own_rows_of_sum, all_rows);
}

InputRegion copied_input(Communicator& tensor_parallel, CommunicationQueue* overlap) {
  if (tensor_parallel.world_size() == 1) return {};
  if (overlap == nullptr) return {nullptr, at_once(all_reduced, tensor_parallel)};
  return {nullptr, [overlap](Tensor x) {
            const Tensor sum = reducible(std::move(x));
            return when_done(*overlap, overlap->all_reduce(sum), sum);
          }};
}

InputRegion gathered_input(Communicator& tensor_parallel, CommunicationQueue* overlap) {
  if (tensor_parallel.world_size() == 1) return {};
  if (overlap == nullptr) {
    return {at_once(all_rows, tensor_parallel), at_once(own_rows_of_sum, tensor_parallel)};
  }
  return {[overlap, &tensor_parallel](Tensor x) {
            const Tensor all = empty_rows(x, tensor_parallel);
            return when_done(*overlap, overlap->all_gather(x.contiguous(), all), all);
          },
          [overlap, &tensor_parallel](Tensor x) {
            const Tensor slice = empty_slice(x, tensor_parallel);
            return when_done(*overlap, overlap->reduce_scatter(x.contiguous(), slice), slice);
          }};
}

}  // namespace shardgrad
