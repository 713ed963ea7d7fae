#include <cstring>
#include <utility>

#include "parallel/cuda/nccl_communicator.h"
#include "parallel/cuda/nccl_link.cuh"
#include "tensor/cuda/launch.cuh"

namespace shardgrad::cuda {
namespace {

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return ncclFloat32;
    case DType::Float64:
      return ncclFloat64;
    case DType::BFloat16:
      return ncclBfloat16;
    case DType::Int32:
      return ncclInt32;
  }
  return ncclFloat32;
}

std::size_t count_of(const Tensor& tensor) { return static_cast<std::size_t>(tensor.numel()); }

bool on_cpu(const Tensor& tensor) { return tensor.device().type == DeviceType::Cpu; }

// Rank 0 makes the id by which NCCL's ranks find each other, and sends it through `host`.
ncclUniqueId shared_id(HostCommunicator& host) {
  ncclUniqueId id{};
  if (host.rank() == 0) {
    const ncclResult_t result = ncclGetUniqueId(&id);
    require(result == ncclSuccess, "nccl", "NCCL: {} ({})", ncclGetErrorString(result),
            ncclGetLastError(nullptr));
  }
  static_assert(sizeof(id) % sizeof(std::int32_t) == 0);
  Tensor message =
      Tensor::zeros({static_cast<std::int64_t>(sizeof(id) / sizeof(std::int32_t))}, DType::Int32);
  std::memcpy(message.raw_data(), &id, sizeof(id));
  host.broadcast(message, 0);
  std::memcpy(&id, std::as_const(message).raw_data(), sizeof(id));
  return id;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<HostCommunicator> host, int device,
                   std::shared_ptr<NcclWatch> watch)
      : host_(std::move(host)), device_(device), watch_(std::move(watch)) {
    if (host_->world_size() == 1) return;  // nothing is ever communicated
    link_ = std::make_unique<NcclLink>(shared_id(*host_), *host_, device, watch_);
  }

  int rank() const override { return host_->rank(); }
  int world_size() const override { return host_->world_size(); }
  void abort(const std::string& reason) noexcept override { host_->abort(reason); }

  void finish() override {
    const std::string failure = host_->failure();
    require(failure.empty(), "nccl", "{}", failure);
  }

 private:
  void do_all_reduce(Tensor& x, ReduceOp op) override {
    if (on_cpu(x)) return host_->all_reduce(x, op);
    perform("all_reduce", x, op, -1, [&](ncclComm_t communicator) {
      return ncclAllReduce(x.raw_data(), x.raw_data(), count_of(x), nccl_type(x.dtype()),
                           op == ReduceOp::Sum ? ncclSum : ncclMax, communicator, stream());
    });
  }

  void do_all_gather(const Tensor& input, Tensor& output) override {
    if (on_cpu(input)) return host_->all_gather(input, output);
    perform("all_gather", input, std::nullopt, -1, [&](ncclComm_t communicator) {
      return ncclAllGather(input.raw_data(), output.raw_data(), count_of(input),
                           nccl_type(input.dtype()), communicator, stream());
    });
  }

  void do_reduce_scatter(const Tensor& input, Tensor& output) override {
    if (on_cpu(input)) return host_->reduce_scatter(input, output);
    perform("reduce_scatter", input, std::nullopt, -1, [&](ncclComm_t communicator) {
      return ncclReduceScatter(input.raw_data(), output.raw_data(), count_of(output),
                               nccl_type(input.dtype()), ncclSum, communicator, stream());
    });
  }

  void do_broadcast(Tensor& x, int root) override {
    if (on_cpu(x)) return host_->broadcast(x, root);
    perform("broadcast", x, std::nullopt, root, [&](ncclComm_t communicator) {
      return ncclBroadcast(x.raw_data(), x.raw_data(), count_of(x), nccl_type(x.dtype()), root,
                           communicator, stream());
    });
  }

  void do_send(const Tensor& x, int destination) override {
    if (on_cpu(x)) return host_->send(x, destination);
    const Tensor mine = description_of(x);
    Tensor theirs = Tensor::zeros_like(mine);
    host_->send(mine, destination);
    host_->receive(theirs, destination);
    check_same("send", mine, theirs, destination);
    perform_alone("send", x, [&](ncclComm_t communicator) {
      return ncclSend(x.raw_data(), count_of(x), nccl_type(x.dtype()), destination, communicator,
                      stream());
    });
  }

  void do_receive(Tensor& x, int source) override {
    if (on_cpu(x)) return host_->receive(x, source);
    const Tensor mine = description_of(x);
    Tensor theirs = Tensor::zeros_like(mine);
    host_->receive(theirs, source);
    host_->send(mine, source);
    check_same("receive", mine, theirs, source);
    perform_alone("receive", x, [&](ncclComm_t communicator) {
      return ncclRecv(x.raw_data(), count_of(x), nccl_type(x.dtype()), source, communicator,
                      stream());
    });
  }

  void do_barrier() override { host_->barrier(); }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    return std::make_unique<NcclCommunicator>(host_->split_hosts(color, key), device_, watch_);
  }

  // A kernel of NCCL waits for the ranks' others without end. So it is only queued when every rank
  // is there for the same call.
  template <class Start>
  void perform(const char* name, const Tensor& tensor, std::optional<ReduceOp> op, int root,
               const Start& start) {
    host_->meet(name, tensor, op, root);
    perform_alone(name, tensor, start);
  }

  template <class Start>
  void perform_alone(const char* name, const Tensor& tensor, const Start& start) {
    require(tensor.device().index == device_, name, "tensor is on {}, but this rank is on cuda:{}",
            tensor.device().to_string(), device_);
    if (tensor.numel() == 0) return;
    use_device(device_);
    link_->call(name, start);
  }

  // What sender and receiver have to agree on.
  static Tensor description_of(const Tensor& x) {
    return Tensor::from<double>({static_cast<double>(x.dtype()), static_cast<double>(x.numel())},
                                {2});
  }

  void check_same(const char* name, const Tensor& mine, const Tensor& theirs, int peer) const {
    const double* own = mine.data<double>();
    const double* other = theirs.data<double>();
    require(own[0] == other[0] && own[1] == other[1], name,
            "the tensor has {} {} elements, that of rank {} has {} {}; both must pass the same",
            own[1], name_of(static_cast<DType>(own[0])), peer, other[1],
            name_of(static_cast<DType>(other[0])));
  }

  const std::unique_ptr<HostCommunicator> host_;
  const int device_;
  const std::shared_ptr<NcclWatch> watch_;
  std::unique_ptr<NcclLink> link_;  // null in a group of one; ends before what it uses
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<HostCommunicator> host,
                                                     Device device) {
  use_device(device.index);
  return std::make_unique<NcclCommunicator>(std::move(host), device.index,
                                            std::make_shared<NcclWatch>());
}

}  // namespace shardgrad::cuda
