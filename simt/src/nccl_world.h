// Where the ranks of a communicator meet.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "nccl.h"

namespace simt {

class World;

enum class CollectiveKind { AllReduce, Reduce, ReduceScatter, AllGather, Broadcast, Send, Recv };

/// What one rank passed to a collective, or to a send or receive.
struct CollectiveCall {
  CollectiveKind kind;
  const void* send;
  void* receive;
  size_t count;
  ncclDataType_t type;
  ncclRedOp_t op;
  int root;           // or the peer
  uint64_t sequence;  // the how-manieth collective of the communicator

  bool point_to_point() const {
    return kind == CollectiveKind::Send || kind == CollectiveKind::Recv;
  }
  bool reduces() const {
    return kind == CollectiveKind::AllReduce || kind == CollectiveKind::Reduce ||
           kind == CollectiveKind::ReduceScatter;
  }
  const char* name() const;
  size_t bytes() const;
  /// "4 elements of type 7 with operation 0"
  std::string text() const;
};

}  // namespace simt

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

/// What one rank put into one stream, all at once: an attempt to finish it is made again and again.
class NcclWork {
 public:
  NcclWork(ncclComm* comm, std::vector<CollectiveCall> calls)
      : comm_(comm), calls_(std::move(calls)) {}
  /// Returns whether there is nothing to wait for any more.
  bool attempt();

 private:
  friend class World;
  ncclComm* comm_;
  std::vector<CollectiveCall> calls_;
  bool started_ = false;
  std::chrono::steady_clock::time_point deadline_;
  std::vector<std::shared_ptr<bool>> done_;  // of each call
};

class World {
 public:
  enum class Presence { Expected, Here, Destroyed, Gone };

  explicit World(int ranks) : ranks_(ranks), members_(static_cast<size_t>(ranks)) {}

  int ranks() const { return ranks_; }
  /// Enters a rank, and returns whether that makes them complete. Errors show in error_for().
  bool join(int rank, int device);
  /// Waits until all ranks are here, or an error.
  ncclResult_t wait_for_all(int rank);
  /// ncclInProgress while ranks are missing.
  ncclResult_t error_for(int rank);
  std::string error_text();
  /// The rank will not take part any more: `result` is what the others see.
  void leave(int rank, Presence how, ncclResult_t result, const std::string& text);

 private:
  friend class NcclWork;
  struct Member {
    Presence presence = Presence::Expected;
    int device = -1;
    ncclResult_t own_error = ncclSuccess;
  };
  struct Meeting {
    std::vector<CollectiveCall> calls;
    std::vector<bool> present;
    int arrived = 0;
    std::shared_ptr<bool> done = std::make_shared<bool>(false);
  };
  struct Message {
    CollectiveCall call;
    std::shared_ptr<bool> done;
  };
  /// The sends from one rank to another, and the receives, that have no partner yet.
  struct Channel {
    std::deque<Message> sends, receives;
  };

  // The caller of these holds the lock.
  Member& member(int rank) { return members_[static_cast<size_t>(rank)]; }
  void set_error(ncclResult_t error, const std::string& text);
  std::shared_ptr<bool> post(int rank, const CollectiveCall& call);
  void meet(Meeting& meeting);
  void match(Channel& channel, int from, int to);
  std::string who_is_missing(int rank, const CollectiveCall& call, bool only_destroyed);

  const int ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Member> members_;
  int joined_ = 0;
  ncclResult_t error_ = ncclSuccess;  // of all
  std::string error_text_;
  std::map<uint64_t, Meeting> meetings_;  // by the sequence number
  std::map<std::pair<int, int>, Channel> channels_;
};

}  // namespace simt
