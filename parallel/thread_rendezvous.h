// Sending between two ranks that are threads of one process.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/cuda/stream_event.h"
#include "parallel/rank_call.h"

namespace shardgrad {

class ThreadGroup;

/// Where a send and a receive find each other. Whichever of the two comes second copies from the
/// sender's buffer straight into the receiver's. Of CUDA tensors it queues the copy, and the two
/// ranks' streams wait for each other.
class ThreadRendezvous {
 public:
  explicit ThreadRendezvous(const ThreadGroup& group);

  /// Performs the send or receive `call` of `rank`; returns when the copy is made.
  /// @throws Error when call.peer passes another dtype or element count (on both), when it fails or
  /// finishes first, and when the two wait for each other.
  void exchange(int rank, const RankCall& call);

  /// Lets waiting ranks see that a rank has failed or finished.
  void wake();

 private:
  enum class State { Idle, Waiting, BeingServed, Served };
  struct Offer {
    RankCall call;
    State state = State::Idle;
    std::string mismatch;  // why the call was not served as asked; empty if it was
  };

  void wait_until_served(int rank, std::unique_lock<std::mutex>& lock);
  void serve(int rank, const RankCall& call, const RankCall& theirs);
  // In the stream of `server`: when it is done with the buffer of `client`.
  cuda::StreamEvent& copied(int server, int client) { return copied_[server * ranks_ + client]; }
  std::string describe_deadlock(int rank) const;

  const ThreadGroup& group_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const int ranks_;
  std::vector<Offer> offers_;  // by rank
  // In each rank's stream: when the buffer that it offers may be used.
  std::vector<cuda::StreamEvent> offered_;
  std::vector<cuda::StreamEvent> copied_;  // see copied()
};

}  // namespace shardgrad
