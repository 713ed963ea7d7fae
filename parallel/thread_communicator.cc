#include "parallel/thread_communicator.h"

#include <algorithm>
#include <utility>

#include "tensor/cuda/runtime.h"
#include "tensor/round_up.h"

namespace shardgrad {
namespace {

std::size_t bytes_of(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.numel()) * size_of(tensor.dtype());
}

RankCall describe_call(const char* name, const Tensor& tensor) {
  RankCall call;
  call.name = name;
  call.dtype = tensor.dtype();
  call.shape = tensor.shape();
  call.device = tensor.device();
  return call;
}

// The call of a rank whose tensor the others use.
RankCall make_call(const char* name, const Tensor& tensor) {
  if (tensor.device().type == DeviceType::Cuda) cuda::use_device(tensor.device().index);
  RankCall call = describe_call(name, tensor);
  call.input = tensor.raw_data();
  return call;
}

// Element at which the share of `rank` begins when `count` elements are divided among `ranks`, each
// share but the last a whole number of cache lines.
std::int64_t share_begin(std::int64_t count, std::size_t element_bytes, int rank, int ranks) {
  const std::int64_t line = 64 / static_cast<std::int64_t>(element_bytes);
  const std::int64_t lines = parts_of(count, line);
  return std::min(count, lines * rank / ranks * line);
}

}  // namespace

ThreadCommunicator::ThreadCommunicator(std::shared_ptr<ThreadGroup> group, int rank)
    : group_(std::move(group)), rank_(rank) {
  inputs_.reserve(group_->size());
  outputs_.reserve(group_->size());
}

void ThreadCommunicator::abort(const std::string& reason) noexcept {
  group_->world().fail(group_->world_rank(rank_), reason);
}

void ThreadCommunicator::meet(const char* name, const Tensor& tensor, std::optional<ReduceOp> op,
                              int root) {
  RankCall call = describe_call(name, tensor);
  call.op = op;
  call.peer = root;
  group_->meet(rank_, call);
}

// Meets the others, then does this rank's part of the work.
template <class Work>
void ThreadCommunicator::perform(const RankCall& call, const Work& work) {
  try {
    group_->mark_ready(rank_, call.device);
    group_->meet(rank_, call);
    group_->carry_out(rank_, work);
  } catch (const cuda::Failure& failure) {
    fail(call.name, "{}; the call is {}", failure.text, to_string(call));
  }
}

// Each rank reduces its share of the elements and writes it into the buffers of all.
void ThreadCommunicator::do_all_reduce(Tensor& x, ReduceOp op) {
  RankCall call = make_call("all_reduce", x);
  call.op = op;
  call.output = x.raw_data();
  perform(call, [&] {
    const std::size_t element_bytes = size_of(x.dtype());
    const std::int64_t begin = share_begin(x.numel(), element_bytes, rank_, world_size());
    const std::int64_t end = share_begin(x.numel(), element_bytes, rank_ + 1, world_size());
    const std::size_t offset = static_cast<std::size_t>(begin) * element_bytes;
    inputs_.clear();
    outputs_.clear();
    for (int rank = 0; rank < world_size(); ++rank) {
      const RankCall& theirs = call_of(rank);
      inputs_.add(static_cast<const char*>(theirs.input) + offset, theirs.device);
      outputs_.add(static_cast<char*>(theirs.output) + offset, theirs.device);
    }
    reduce_rank_buffers(x.device(), x.dtype(), op, inputs_, outputs_, end - begin);
  });
}

void ThreadCommunicator::do_all_gather(const Tensor& input, Tensor& output) {
  perform(make_call("all_gather", input), [&] {
    char* destination = static_cast<char*>(output.raw_data());
    for (int rank = 0; rank < world_size(); ++rank, destination += bytes_of(input)) {
      // The rank's own part is there already when it gathers in place.
      if (destination != input.raw_data()) {
        copy_between_ranks(input.device(), destination, call_of(rank).input, bytes_of(input));
      }
    }
  });
}

void ThreadCommunicator::do_reduce_scatter(const Tensor& input, Tensor& output) {
  perform(make_call("reduce_scatter", input), [&] {
    inputs_.clear();
    outputs_.clear();
    for (int rank = 0; rank < world_size(); ++rank) {
      const RankCall& theirs = call_of(rank);
      inputs_.add(static_cast<const char*>(theirs.input) + rank_ * bytes_of(output), theirs.device);
    }
    outputs_.add(output.raw_data(), output.device());
    reduce_rank_buffers(input.device(), input.dtype(), ReduceOp::Sum, inputs_, outputs_,
                        output.numel());
  });
}

void ThreadCommunicator::do_broadcast(Tensor& x, int root) {
  RankCall call = make_call("broadcast", x);
  call.peer = root;
  perform(call, [&] {
    if (rank_ == root) return;
    copy_between_ranks(x.device(), x.raw_data(), call_of(root).input, bytes_of(x));
  });
}

void ThreadCommunicator::do_send(const Tensor& x, int destination) {
  RankCall call = make_call("send", x);
  call.peer = destination;
  exchange(call);
}

void ThreadCommunicator::do_receive(Tensor& x, int source) {
  RankCall call = make_call("receive", x);
  call.peer = source;
  call.output = x.raw_data();
  exchange(call);
}

void ThreadCommunicator::exchange(const RankCall& call) {
  try {
    group_->rendezvous().exchange(rank_, call);
  } catch (const cuda::Failure& failure) {
    fail(call.name, "{}; the call is {}", failure.text, to_string(call));
  }
}

void ThreadCommunicator::do_barrier() {
  RankCall call;
  call.name = "barrier";
  group_->meet(rank_, call);
}

std::unique_ptr<HostCommunicator> ThreadCommunicator::split_hosts(int color, int key) {
  RankCall call;
  call.name = "split";
  call.color = color;
  call.key = key;
  group_->meet(rank_, call);

  std::vector<int> members;
  for (int rank = 0; rank < world_size(); ++rank) {
    if (call_of(rank).color == color) members.push_back(rank);
  }
  std::stable_sort(members.begin(), members.end(),
                   [this](int a, int b) { return call_of(a).key < call_of(b).key; });
  const auto place = std::find(members.begin(), members.end(), rank_);
  const int new_rank = static_cast<int>(place - members.begin());
  for (int& member : members) member = group_->world_rank(member);
  return std::make_unique<ThreadCommunicator>(group_->subgroup(rank_, color, members), new_rank);
}

}  // namespace shardgrad
