#include "parallel/communicator.h"

#include <utility>

#include "tensor/operation_times.h"

namespace shardgrad {
namespace {

std::int64_t bytes_of(const Tensor& tensor) {
  return tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
}

void count(CollectiveCount& collective, const Tensor& payload) {
  ++collective.calls;
  collective.bytes += bytes_of(payload);
}

void check_tensor(const char* where, const char* name, const Tensor& tensor) {
  require(tensor.defined(), where, "{} is an undefined tensor; pass one with memory", name);
  require(tensor.is_contiguous(), where,
          "{} of shape {} has strides {}, so it is not contiguous; pass {}.contiguous()", name,
          tensor.shape().to_string(), tensor.strides().to_string(), name);
}

// Calls `run`, and records how long it took where the thread wants to know.
template <class Run>
void timed(const char* name, const Tensor& payload, const Run& run) {
  if (OperationTimes* const times = OperationTimes::of_thread()) {
    times->measure(name, {&payload}, run);
  } else {
    run();
  }
}

void check_rank(const char* where, const char* name, int rank, int world_size) {
  require(rank >= 0 && rank < world_size, where, "{} {} is not a rank of this group; choose 0..{}",
          name, rank, world_size - 1);
}

// The shape of `world_size` tensors of shape `part`, one after the other along dim 0.
Shape joined_shape(Shape part, int world_size) {
  part[0] *= world_size;
  return part;
}

// Checks the tensor that holds one part per rank against the one that holds this rank's part.
void check_whole_and_part(const char* where, const char* whole_name, const Tensor& whole,
                          const char* part_name, const Tensor& part, int rank, int world_size) {
  check_tensor(where, whole_name, whole);
  check_tensor(where, part_name, part);
  require(part.rank() >= 1, where, "{} is a scalar; expected shape [n, ...]", part_name);
  const Shape expected = joined_shape(part.shape(), world_size);
  require(whole.shape() == expected, where,
          "{} has shape {} and {} has shape {}; with {} ranks {} must be {}", whole_name,
          whole.shape().to_string(), part_name, part.shape().to_string(), world_size, whole_name,
          expected.to_string());
  require(whole.dtype() == part.dtype(), where, "{} is {} but {} is {}; expected the same dtype",
          whole_name, name_of(whole.dtype()), part_name, name_of(part.dtype()));
  require(whole.device() == part.device(), where,
          "{} is on {} but {} is on {}; expected one device", whole_name,
          whole.device().to_string(), part_name, part.device().to_string());

  const char* whole_begin = static_cast<const char*>(whole.raw_data());
  const char* part_begin = static_cast<const char*>(part.raw_data());
  const bool is_in_place = part_begin == whole_begin + rank * bytes_of(part);
  const bool overlaps = whole.shares_storage_with(part) &&
                        part_begin < whole_begin + bytes_of(whole) &&
                        whole_begin < part_begin + bytes_of(part);
  require(is_in_place || !overlaps, where,
          "{} overlaps {} in memory; expected separate memory, or rows {}..{} of {}", part_name,
          whole_name, rank * part.size(0), (rank + 1) * part.size(0) - 1, whole_name);
}

void copy_unless_same(const Tensor& input, Tensor& output) {
  if (std::as_const(output).raw_data() != input.raw_data()) output.copy_from(input);
}

}  // namespace

void Communicator::all_reduce(Tensor& x, ReduceOp op) {
  check_tensor("all_reduce", "x", x);
  if (world_size() == 1) return;
  timed("all_reduce", x, [&] { do_all_reduce(x, op); });
  count(stats_.all_reduce, x);
}

void Communicator::all_gather(const Tensor& input, Tensor& output) {
  check_whole_and_part("all_gather", "output", output, "input", input, rank(), world_size());
  if (world_size() == 1) return copy_unless_same(input, output);
  timed("all_gather", output, [&] { do_all_gather(input, output); });
  count(stats_.all_gather, output);
}

void Communicator::reduce_scatter(const Tensor& input, Tensor& output) {
  check_whole_and_part("reduce_scatter", "input", input, "output", output, rank(), world_size());
  if (world_size() == 1) return copy_unless_same(input, output);
  timed("reduce_scatter", input, [&] { do_reduce_scatter(input, output); });
  count(stats_.reduce_scatter, input);
}

void Communicator::broadcast(Tensor& x, int root) {
  check_tensor("broadcast", "x", x);
  check_rank("broadcast", "root", root, world_size());
  if (world_size() == 1) return;
  timed("broadcast", x, [&] { do_broadcast(x, root); });
  count(stats_.broadcast, x);
}

void Communicator::send(const Tensor& x, int destination) {
  check_tensor("send", "x", x);
  check_rank("send", "destination", destination, world_size());
  require(destination != rank(), "send", "destination {} is this rank itself", destination);
  timed("send", x, [&] { do_send(x, destination); });
  count(stats_.send_receive, x);
}

void Communicator::receive(Tensor& x, int source) {
  check_tensor("receive", "x", x);
  check_rank("receive", "source", source, world_size());
  require(source != rank(), "receive", "source {} is this rank itself", source);
  timed("receive", x, [&] { do_receive(x, source); });
  count(stats_.send_receive, x);
}

void Communicator::barrier() {
  if (world_size() > 1) do_barrier();
}

std::unique_ptr<Communicator> Communicator::split(int color, int key) {
  require(color >= 0, "split", "color {} is negative; choose 0 or more", color);
  std::unique_ptr<Communicator> group = do_split(color, key);
  group->background_threads_ = background_threads_;
  return group;
}

}  // namespace shardgrad
