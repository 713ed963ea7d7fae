// What the ranks of one group share when they are threads of one process.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "parallel/cuda/stream_event.h"
#include "parallel/rank_call.h"
#include "parallel/thread_barrier.h"
#include "parallel/thread_rendezvous.h"
#include "parallel/thread_world.h"

namespace shardgrad {

/// The meeting place of a group. A collective begins with meet(), after which each rank can read
/// what the others passed. One in which ranks use each other's buffers begins with mark_ready(),
/// and goes on with carry_out().
///
/// On CUDA devices the ranks meet when their work is queued, not when it is done, and their streams
/// wait for each other: before a buffer is used for what its rank has queued until the meeting, and
/// before the rank's later work for what the others have queued with it.
class ThreadGroup {
 public:
  /// The group whose rank i is rank `world_ranks[i]` of `world`.
  static std::shared_ptr<ThreadGroup> create(std::shared_ptr<ThreadWorld> world,
                                             std::vector<int> world_ranks);

  int size() const { return static_cast<int>(world_ranks_.size()); }
  ThreadWorld& world() const { return *world_; }
  int world_rank(int rank) const { return world_ranks_[rank]; }

  /// Says that the buffer of `rank`, on `device`, may be used when what the calling thread has
  /// queued is done.
  void mark_ready(int rank, Device device);

  /// Shows `call` to the group and returns when every rank has come.
  /// @throws Error on every rank when the ranks do not make the same call, and on the waiting ranks
  /// when one of them fails or finishes.
  void meet(int rank, const RankCall& call);

  /// What `rank` passed to the meet() that `reader` was in last. Good until `reader` meets again.
  const RankCall& call_of(int rank, int reader) const;

  /// Runs `work`, which uses the buffers passed to the meet() that `rank` was in last, and returns
  /// when every rank has done so. Nothing interrupts it, lest a rank free a buffer that another is
  /// reading; what `work` throws is thrown at the end.
  template <class Work>
  void carry_out(int rank, const Work& work) {
    std::exception_ptr failure;
    try {
      begin_work(rank);
      work();
      end_work(rank);
    } catch (...) {
      failure = std::current_exception();
    }
    barrier_.arrive_and_wait_uninterruptibly(world_->may_help(world_rank(rank)));
    if (failure) std::rethrow_exception(failure);
    wait_for_work(rank);
  }

  /// Calls of meet() that `rank` has begun.
  std::uint64_t meetings(int rank) const { return members_[rank].meetings; }

  ThreadRendezvous& rendezvous() { return rendezvous_; }

  /// The group of `world_ranks`, the ranks of this group that passed `color` to the split that
  /// `rank` is in: made by the first of them to call, and the same object for all.
  std::shared_ptr<ThreadGroup> subgroup(int rank, int color, const std::vector<int>& world_ranks);

  /// Called by the world when a rank has failed or finished.
  void on_world_change();

 private:
  // Calls alternate between two places: a rank that is already in its next meeting leaves alone
  // what slower ones still read of this one, and it cannot get two ahead.
  struct alignas(64) Member {
    std::atomic<std::uint64_t> meetings{0};
    RankCall calls[2];
    // In the rank's stream: when its buffer may be used, and when it is done with those of others.
    // A rank records one of them anew only after a barrier behind the others' waits for it.
    cuda::StreamEvent ready, done;
  };
  struct FormingGroup {
    std::shared_ptr<ThreadGroup> group;
    std::size_t ranks_to_come = 0;
  };

  ThreadGroup(std::shared_ptr<ThreadWorld> world, std::vector<int> world_ranks);

  // The order between the ranks' streams; nothing to do when the tensors are on the CPU.
  void begin_work(int rank) const;
  void end_work(int rank);
  void wait_for_work(int rank) const;

  const std::shared_ptr<ThreadWorld> world_;
  const std::vector<int> world_ranks_;
  ThreadBarrier barrier_;
  std::vector<Member> members_;
  ThreadRendezvous rendezvous_;
  std::mutex forming_mutex_;
  std::map<std::pair<std::uint64_t, int>, FormingGroup> forming_;  // by (meeting, color)
};

}  // namespace shardgrad
