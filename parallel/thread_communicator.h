// The backend for ranks that are threads of one process.
#pragma once

#include <memory>
#include <string>

#include "parallel/host_communicator.h"
#include "parallel/rank_memory.h"
#include "parallel/thread_group.h"

namespace shardgrad {

/// One rank's view of a ThreadGroup. Ranks read and write each other's buffers directly, so each
/// collective waits twice: until all buffers are there, and until all are free again. For CUDA
/// tensors it is the ranks' streams that wait; the host only waits until the others have queued
/// their part. Their devices may be different ones, or one and the same.
class ThreadCommunicator final : public HostCommunicator {
 public:
  ThreadCommunicator(std::shared_ptr<ThreadGroup> group, int rank);

  int rank() const override { return rank_; }
  int world_size() const override { return group_->size(); }
  void abort(const std::string& reason) noexcept override;

  void meet(const char* name, const Tensor& tensor, std::optional<ReduceOp> op, int root) override;
  std::string failure() const override { return group_->world().failure(); }
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

  template <class Work>
  void perform(const RankCall& call, const Work& work);
  void exchange(const RankCall& call);

  const RankCall& call_of(int rank) const { return group_->call_of(rank, rank_); }

  const std::shared_ptr<ThreadGroup> group_;
  const int rank_;
  // Kept between calls, so that a call allocates nothing.
  RankBuffers<const void*> inputs_;
  RankBuffers<void*> outputs_;
};

}  // namespace shardgrad
