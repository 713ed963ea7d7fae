// Where the ranks of a communicator meet.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "nccl.h"
#include "simt/src/device.h"
#include "simt/src/nccl_call.h"

namespace simt {
class World;
}

/// What a handle points to. Never freed, so that a handle used too late is noticed.
struct ncclComm {
  std::shared_ptr<simt::World> world;
  int rank = 0;
  int device = 0;
  bool blocking = true;
  bool finalized = false;
  uint64_t sequence = 0;
};

namespace simt {

enum class Presence { Expected, Here, Destroyed, Gone };

/// What all ranks know of each other. Zeros are a world that nobody has joined; it may lie in
/// memory that processes share.
struct WorldState {
  struct Member {
    Presence presence;
    int device;
    ncclResult_t own_error;
  };
  Member members[kMaxDevices];
  int joined;
  ncclResult_t error;  // of all
  char error_text[1024];
};

/// A call whose work has begun.
class PostedCall {
 public:
  virtual ~PostedCall() = default;
  /// Does what can be done now, and returns whether that was the last of it.
  virtual bool advance() = 0;
  /// Whether `rank` has made its part of the call already.
  virtual bool has_come(int rank) const = 0;
};

/// What one rank put into one stream, all at once: an attempt to finish it is made again and again.
class NcclWork {
 public:
  NcclWork(ncclComm* comm, std::vector<CollectiveCall> calls)
      : comm_(comm), calls_(std::move(calls)) {}
  /// Returns whether there is nothing to wait for any more.
  bool attempt();

 private:
  bool give_up() const;

  ncclComm* comm_;
  std::vector<CollectiveCall> calls_;
  bool started_ = false;
  std::chrono::steady_clock::time_point deadline_;
  std::vector<std::unique_ptr<PostedCall>> posted_;  // null when it is done
};

/// The coming and going of ranks, and the errors. How data gets from one to the other is the
/// business of the classes derived from it.
class World {
 public:
  explicit World(int ranks) : ranks_(ranks) {}
  virtual ~World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int ranks() const { return ranks_; }
  /// Enters a rank. Errors show in error_for().
  void join(int rank, int device);
  /// Waits until all ranks are here, or an error.
  ncclResult_t wait_for_all(int rank);
  /// ncclInProgress while ranks are missing.
  ncclResult_t error_for(int rank);
  std::string error_text();
  /// The rank will not take part any more: `result` is what the others see.
  void leave(int rank, Presence how, ncclResult_t result, const std::string& text);

 protected:
  friend class NcclWork;

  // Whoever asks for the state, or changes it, holds the lock.
  virtual void lock() { mutex_.lock(); }
  virtual void unlock() { mutex_.unlock(); }
  virtual WorldState& state() = 0;
  /// The rank is about to be known as present, or as absent.
  virtual void come(int rank) { (void)rank; }
  virtual void go(int rank) { (void)rank; }
  /// Makes it an error if a rank has gone without a word.
  virtual void look_for_lost_ranks() {}
  virtual std::unique_ptr<PostedCall> post(int rank, const CollectiveCall& call) = 0;

  WorldState::Member& member(int rank) { return state().members[rank]; }
  /// Returns whether it is the first.
  bool set_error(ncclResult_t error, const std::string& text);
  /// The ranks do not make the same call.
  void set_mismatch(const std::string& text);

 private:
  friend class std::lock_guard<World>;
  std::string who_is_missing(int rank, const CollectiveCall& call, const PostedCall& posted,
                             bool only_destroyed);

  const int ranks_;
  std::mutex mutex_;
};

}  // namespace simt
