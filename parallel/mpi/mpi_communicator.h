// The backend for ranks that are processes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "parallel/host_communicator.h"
#include "parallel/mpi/mpi_group.h"

namespace shardgrad::mpi {

/// One rank's view of an MpiGroup. Reductions are not MPI's, whose order of addition is its own:
/// the ranks exchange their parts and each one adds in the order of the ranks, as the threads do,
/// bit for bit. CUDA tensors are copied to the host and back, which works for any number of ranks
/// to a GPU; NCCL is for those with one each.
class MpiCommunicator final : public HostCommunicator {
 public:
  MpiCommunicator(MpiJob& job, std::shared_ptr<MpiGroup> group)
      : job_(job), group_(std::move(group)) {}

  int rank() const override { return group_->rank(); }
  int world_size() const override { return group_->size(); }
  void abort(const std::string& reason) noexcept override { job_.fail(reason); }

  void meet(const char* name, const Tensor& tensor, std::optional<ReduceOp> op, int root) override;
  std::string failure() const override { return job_.failure(); }
  std::unique_ptr<HostCommunicator> split_hosts(int color, int key) override;

 private:
  void do_all_reduce(Tensor& x, ReduceOp op) override;
  void do_all_gather(const Tensor& input, Tensor& output) override;
  void do_reduce_scatter(const Tensor& input, Tensor& output) override;
  void do_broadcast(Tensor& x, int root) override;
  void do_send(const Tensor& x, int destination) override;
  void do_receive(Tensor& x, int source) override;
  void do_barrier() override;
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    return split_hosts(color, key);
  }

  template <class PartOf>
  void reduce_own_part(DType dtype, ReduceOp op, const PartOf& part_of, void* output);
  void reduce_segment(DType dtype, ReduceOp op, char* data, std::int64_t count);

  MpiJob& job_;
  const std::shared_ptr<MpiGroup> group_;
  // Kept between calls, so that a call allocates nothing.
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace shardgrad::mpi
