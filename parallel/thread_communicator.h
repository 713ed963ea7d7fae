// The backend for ranks that are threads of one process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/thread_group.h"

namespace shardgrad {

/// One rank's view of a ThreadGroup. Ranks read and write each other's buffers directly, so each
/// collective waits twice: until all buffers are there, and until all are free again.
class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<ThreadGroup> group, int rank);

  int rank() const override { return rank_; }
  int world_size() const override { return group_->size(); }
  void abort(const std::string& reason) noexcept override;

 private:
  void do_all_reduce(Tensor& x, ReduceOp op) override;
  void do_all_gather(const Tensor& input, Tensor& output) override;
  void do_reduce_scatter(const Tensor& input, Tensor& output) override;
  void do_broadcast(Tensor& x, int root) override;
  void do_send(const Tensor& x, int destination) override;
  void do_receive(Tensor& x, int source) override;
  void do_barrier() override;
  std::unique_ptr<Communicator> do_split(int color, int key) override;

  const ThreadCall& call_of(int rank) const { return group_->call_of(rank, rank_); }

  const std::shared_ptr<ThreadGroup> group_;
  const int rank_;
  // Kept between calls, so that a call allocates nothing.
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace shardgrad
