#include "parallel/thread_rendezvous.h"

#include <chrono>
#include <exception>
#include <string_view>

#include "parallel/rank_memory.h"
#include "parallel/thread_group.h"
#include "tensor/cuda/runtime.h"

namespace shardgrad {
namespace {

// How often a waiting rank looks whether its peer has gone into a collective instead.
constexpr std::chrono::milliseconds kDeadlockCheckInterval{50};

bool is_send(const RankCall& call) { return std::string_view(call.name) == "send"; }

}  // namespace

ThreadRendezvous::ThreadRendezvous(const ThreadGroup& group)
    : group_(group),
      ranks_(group.size()),
      offers_(ranks_),
      offered_(ranks_),
      copied_(static_cast<std::size_t>(ranks_) * ranks_) {}

// Copies from the one buffer to the other, on behalf of both ranks.
void ThreadRendezvous::serve(int rank, const RankCall& call, const RankCall& theirs) {
  const RankCall& sender = is_send(call) ? call : theirs;
  const RankCall& receiver = is_send(call) ? theirs : call;
  const bool on_cuda = call.device.type == DeviceType::Cuda;
  if (on_cuda) offered_[call.peer].wait();
  copy_between_ranks(call.device, receiver.output, sender.input,
                     sender.shape.numel() * static_cast<std::int64_t>(size_of(*sender.dtype)));
  if (on_cuda) copied(rank, call.peer).record(call.device.index);
}

void ThreadRendezvous::exchange(int rank, const RankCall& call) {
  const bool on_cuda = call.device.type == DeviceType::Cuda;
  if (on_cuda) offered_[rank].record(call.device.index);
  std::unique_lock<std::mutex> lock(mutex_);
  Offer& theirs = offers_[call.peer];
  const bool peer_waits = theirs.state == State::Waiting && theirs.call.peer == rank &&
                          is_send(theirs.call) != is_send(call);
  if (!peer_waits) {
    offers_[rank] = {call, State::Waiting, ""};
    wait_until_served(rank, lock);
    if (on_cuda) copied(call.peer, rank).wait();
    return;
  }
  std::string mismatch;
  std::exception_ptr failure;
  if (call.dtype == theirs.call.dtype && call.shape.numel() == theirs.call.shape.numel() &&
      call.device.type == theirs.call.device.type) {
    theirs.state = State::BeingServed;
    lock.unlock();
    try {
      serve(rank, call, theirs.call);
    } catch (...) {  // the peer learns of it from the world, once this rank has failed
      failure = std::current_exception();
    }
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
  if (failure) std::rethrow_exception(failure);
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
