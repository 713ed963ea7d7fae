#include "parallel/thread_rendezvous.h"

#include <chrono>
#include <string_view>

#include "parallel/parallel_copy.h"
#include "parallel/thread_group.h"

namespace shardgrad {
namespace {

// How often a waiting rank looks whether its peer has gone into a collective instead.
constexpr std::chrono::milliseconds kDeadlockCheckInterval{50};

bool is_send(const ThreadCall& call) { return std::string_view(call.name) == "send"; }

void copy_payload(const ThreadCall& a, const ThreadCall& b) {
  const ThreadCall& sender = is_send(a) ? a : b;
  const ThreadCall& receiver = is_send(a) ? b : a;
  parallel_copy(receiver.output, sender.input, sender.shape.numel() * size_of(*sender.dtype));
}

}  // namespace

ThreadRendezvous::ThreadRendezvous(const ThreadGroup& group)
    : group_(group), offers_(group.size()) {}

void ThreadRendezvous::exchange(int rank, const ThreadCall& call) {
  std::unique_lock<std::mutex> lock(mutex_);
  Offer& theirs = offers_[call.peer];
  const bool peer_waits = theirs.state == State::Waiting && theirs.call.peer == rank &&
                          is_send(theirs.call) != is_send(call);
  if (!peer_waits) {
    offers_[rank] = {call, State::Waiting, ""};
    return wait_until_served(rank, lock);
  }
  std::string mismatch;
  if (call.dtype == theirs.call.dtype && call.shape.numel() == theirs.call.shape.numel()) {
    theirs.state = State::BeingServed;
    lock.unlock();
    copy_payload(call, theirs.call);
    lock.lock();
  } else {
    mismatch =
        fmt::format("rank {} called {} but rank {} called {}; both must pass the same tensor",
                    group_.world_rank(rank), to_string(call), group_.world_rank(call.peer),
                    to_string(theirs.call));
    theirs.mismatch = mismatch;
  }
  theirs.state = State::Served;
  changed_.notify_all();
  require(mismatch.empty(), call.name, "{}", mismatch);
}

void ThreadRendezvous::wait_until_served(int rank, std::unique_lock<std::mutex>& lock) {
  Offer& mine = offers_[rank];
  const char* name = mine.call.name;
  const int peer = group_.world_rank(mine.call.peer);
  const ThreadWorld& world = group_.world();
  while (mine.state == State::Waiting) {
    std::string deadlock = describe_deadlock(rank);
    if (!deadlock.empty() || world.failed() || world.finished(peer)) {
      mine.state = State::Idle;
      lock.unlock();
      require(deadlock.empty(), name, "{}", deadlock);
      world.throw_interruption(name, group_.world_rank(rank), {peer});
    }
    changed_.wait_for(lock, kDeadlockCheckInterval);
  }
  // The peer is reading or writing this rank's buffer: no failure may cut that short.
  changed_.wait(lock, [&] { return mine.state == State::Served; });
  mine.state = State::Idle;
  require(mine.mismatch.empty(), name, "{}", mine.mismatch);
}

// Follows who waits for whom, from `rank` on: nobody on that path can go on if it leads back to
// `rank`, or to a collective that needs `rank`.
std::string ThreadRendezvous::describe_deadlock(int rank) const {
  std::string path =
      fmt::format("rank {} waits in {}", group_.world_rank(rank), to_string(offers_[rank].call));
  int current = offers_[rank].call.peer;
  for (int steps = 1; steps < group_.size(); ++steps) {
    const Offer& offer = offers_[current];
    const std::string link = fmt::format(", rank {} in ", group_.world_rank(current));
    if (offer.state != State::Waiting) {
      if (group_.meetings(current) <= group_.meetings(rank)) return "";
      return path + link + to_string(group_.call_of(current, current)) + ": none can go on";
    }
    path += link + to_string(offer.call);
    current = offer.call.peer;
    if (current == rank) return path + ": none can go on";
  }
  return "";
}

void ThreadRendezvous::wake() {
  { std::lock_guard<std::mutex> lock(mutex_); }
  changed_.notify_all();
}

}  // namespace shardgrad
