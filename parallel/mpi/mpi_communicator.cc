#include "parallel/mpi/mpi_communicator.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "parallel/rank_reduce.h"

namespace shardgrad::mpi {
namespace {

// A large tensor is reduced piece by piece, so that what is received of it stays in the cache and
// takes little memory.
constexpr std::int64_t kSegmentBytes = std::int64_t{16} << 20;

// Up to this size every rank reduces all of a tensor, instead of a part that it sends on.
constexpr std::int64_t kSmallBytes = 2048;

// Elements of a tensor that one rank reduces.
struct Part {
  const char* data;
  std::int64_t count;
};

std::int64_t bytes_of(const Tensor& tensor) {
  return tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
}

RankCall describe_call(const char* name, const Tensor& tensor) {
  RankCall call;
  call.name = name;
  call.dtype = tensor.dtype();
  call.shape = tensor.shape();
  call.device = tensor.device();
  return call;
}

// Where the result for `output` is put together: there, or on the host for a CUDA tensor.
Tensor on_host(Tensor& output) {
  return output.device().type == DeviceType::Cpu ? output
                                                 : Tensor::empty(output.shape(), output.dtype());
}

void put_back(const Tensor& host, Tensor& output) {
  if (!host.shares_storage_with(output)) output.copy_from(host);
}

}  // namespace

void MpiCommunicator::meet(const char* name, const Tensor& tensor, std::optional<ReduceOp> op,
                           int root) {
  RankCall call = describe_call(name, tensor);
  call.op = op;
  call.peer = root;
  group_->meet(call);
}

// Writes into `output` the reduction of this rank's part over the ranks; part_of(rank) is the part
// of this rank's tensor that `rank` reduces. `output` may be this rank's own part.
template <class PartOf>
void MpiCommunicator::reduce_own_part(DType dtype, ReduceOp op, const PartOf& part_of,
                                      void* output) {
  const auto element_bytes = static_cast<std::int64_t>(size_of(dtype));
  const Part own = part_of(rank());
  Tensor received = Tensor::empty({(world_size() - 1) * own.count}, dtype);
  char* place = static_cast<char*>(received.raw_data());
  inputs_.clear();
  for (int rank = 0; rank < world_size(); ++rank) {
    if (rank == this->rank()) {
      inputs_.push_back(own.data);
      continue;
    }
    group_->receive(place, own.count * element_bytes, rank);
    inputs_.push_back(place);
    place += own.count * element_bytes;
    const Part theirs = part_of(rank);
    group_->send(theirs.data, theirs.count * element_bytes, rank);
  }
  group_->finish_transfers();
  outputs_.assign(1, output);
  if (own.count > 0) reduce_over_ranks(dtype, op, inputs_, outputs_, own.count);
}

void MpiCommunicator::reduce_segment(DType dtype, ReduceOp op, char* data, std::int64_t count) {
  const auto element_bytes = static_cast<std::int64_t>(size_of(dtype));
  if (count * element_bytes <= kSmallBytes) {
    return reduce_own_part(
        dtype, op,
        [&](int) {
          return Part{data, count};
        },
        data);
  }
  const auto begin_of = [&](int rank) { return count * rank / world_size(); };
  const auto part_of = [&](int rank) {
    return Part{data + begin_of(rank) * element_bytes, begin_of(rank + 1) - begin_of(rank)};
  };
  char* own = data + begin_of(rank()) * element_bytes;
  reduce_own_part(dtype, op, part_of, own);
  for (int rank = 0; rank < world_size(); ++rank) {
    if (rank == this->rank()) continue;
    group_->receive(data + begin_of(rank) * element_bytes, part_of(rank).count * element_bytes,
                    rank);
    group_->send(own, part_of(this->rank()).count * element_bytes, rank);
  }
  group_->finish_transfers();
}

void MpiCommunicator::do_all_reduce(Tensor& x, ReduceOp op) {
  RankCall call = describe_call("all_reduce", x);
  call.op = op;
  group_->meet(call);
  Tensor host = x.to(Device{});
  const auto element_bytes = static_cast<std::int64_t>(size_of(x.dtype()));
  const std::int64_t segment = kSegmentBytes / element_bytes;
  char* data = static_cast<char*>(host.raw_data());
  for (std::int64_t start = 0; start < x.numel(); start += segment) {
    reduce_segment(x.dtype(), op, data + start * element_bytes,
                   std::min(segment, x.numel() - start));
  }
  put_back(host, x);
}

void MpiCommunicator::do_all_gather(const Tensor& input, Tensor& output) {
  group_->meet(describe_call("all_gather", input));
  const Tensor host_input = input.to(Device{});
  Tensor host = on_host(output);
  char* place = static_cast<char*>(host.raw_data());
  for (int rank = 0; rank < world_size(); ++rank, place += bytes_of(input)) {
    if (rank != this->rank()) {
      group_->receive(place, bytes_of(input), rank);
      group_->send(host_input.raw_data(), bytes_of(input), rank);
    } else if (place != host_input.raw_data()) {
      std::memcpy(place, host_input.raw_data(), static_cast<std::size_t>(bytes_of(input)));
    }
  }
  group_->finish_transfers();
  put_back(host, output);
}

void MpiCommunicator::do_reduce_scatter(const Tensor& input, Tensor& output) {
  group_->meet(describe_call("reduce_scatter", input));
  const Tensor host_input = input.to(Device{});
  Tensor host = on_host(output);
  const auto element_bytes = static_cast<std::int64_t>(size_of(input.dtype()));
  const std::int64_t segment = kSegmentBytes / element_bytes / world_size();
  const char* data = static_cast<const char*>(host_input.raw_data());
  for (std::int64_t start = 0; start < output.numel(); start += segment) {
    const std::int64_t count = std::min(segment, output.numel() - start);
    const auto part_of = [&](int rank) {
      return Part{data + (rank * output.numel() + start) * element_bytes, count};
    };
    reduce_own_part(input.dtype(), ReduceOp::Sum, part_of,
                    static_cast<char*>(host.raw_data()) + start * element_bytes);
  }
  put_back(host, output);
}

void MpiCommunicator::do_broadcast(Tensor& x, int root) {
  RankCall call = describe_call("broadcast", x);
  call.peer = root;
  group_->meet(call);
  Tensor host = rank() == root ? x.to(Device{}) : on_host(x);
  if (rank() != root) group_->receive(host.raw_data(), bytes_of(x), root);
  for (int rank = 0; rank < world_size() && this->rank() == root; ++rank) {
    if (rank != root) group_->send(std::as_const(host).raw_data(), bytes_of(x), rank);
  }
  group_->finish_transfers();
  if (rank() != root) put_back(host, x);
}

void MpiCommunicator::do_send(const Tensor& x, int destination) {
  RankCall call = describe_call("send", x);
  call.peer = destination;
  group_->meet_peer(call);
  const Tensor host = x.to(Device{});
  group_->send(host.raw_data(), bytes_of(x), destination);
  group_->finish_transfers();
}

void MpiCommunicator::do_receive(Tensor& x, int source) {
  RankCall call = describe_call("receive", x);
  call.peer = source;
  group_->meet_peer(call);
  Tensor host = on_host(x);
  group_->receive(host.raw_data(), bytes_of(x), source);
  group_->finish_transfers();
  put_back(host, x);
}

void MpiCommunicator::do_barrier() {
  RankCall call;
  call.name = "barrier";
  group_->meet(call);
}

std::unique_ptr<HostCommunicator> MpiCommunicator::split_hosts(int color, int key) {
  RankCall call;
  call.name = "split";
  call.color = color;
  call.key = key;
  group_->meet(call);
  std::vector<int> members;
  for (int rank = 0; rank < world_size(); ++rank) {
    if (group_->call_of(rank).color == color) members.push_back(rank);
  }
  std::stable_sort(members.begin(), members.end(), [this](int a, int b) {
    return group_->call_of(a).key < group_->call_of(b).key;
  });
  const int number = group_->number_drawn_by(members.front());
  const auto place = std::find(members.begin(), members.end(), rank());
  const int new_rank = static_cast<int>(place - members.begin());
  for (int& member : members) member = group_->world_rank(member);
  return std::make_unique<MpiCommunicator>(job_,
                                           job_.form_group(std::move(members), new_rank, number));
}

}  // namespace shardgrad::mpi
