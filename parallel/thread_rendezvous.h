// Sending between two ranks that are threads of one process.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/thread_call.h"

namespace shardgrad {

class ThreadGroup;

/// Where a send and a receive find each other. Whichever of the two comes second copies from the
/// sender's buffer straight into the receiver's.
class ThreadRendezvous {
 public:
  explicit ThreadRendezvous(const ThreadGroup& group);

  /// Performs the send or receive `call` of `rank`; returns when the copy is made.
  /// @throws Error when call.peer passes another dtype or element count (on both), when it fails or
  /// finishes first, and when the two wait for each other.
  void exchange(int rank, const ThreadCall& call);

  /// Lets waiting ranks see that a rank has failed or finished.
  void wake();

 private:
  enum class State { Idle, Waiting, BeingServed, Served };
  struct Offer {
    ThreadCall call;
    State state = State::Idle;
    std::string mismatch;  // why the call was not served as asked; empty if it was
  };

  void wait_until_served(int rank, std::unique_lock<std::mutex>& lock);
  std::string describe_deadlock(int rank) const;

  const ThreadGroup& group_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Offer> offers_;  // by rank
};

}  // namespace shardgrad
