// Ranks that are processes of one node: they exchange data through memory that they share.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "simt/src/nccl_pieces.h"
#include "simt/src/nccl_shared_memory.h"
#include "simt/src/nccl_world.h"

namespace simt {

/// Each rank has an object of its own.
///
/// A collective goes piece by piece. Every rank puts one down in its mailbox; when all have, every
/// rank takes what it gets out of all of them; when all have, the next piece may be put down. The
/// collectives of a communicator follow each other, as do the sends from one rank to another, which
/// have a mailbox for each pair.
class ProcessWorld final : public World {
 public:
  /// Makes an id, and returns a file descriptor that keeps its memory until all ranks have joined,
  /// or -1.
  static int make_id(std::string& id) { return SharedMemory::make(id); }
  /// The world of the id; the maker's process passes the descriptor, others -1. Null, after `fault`
  /// is set, if there is none.
  static std::shared_ptr<ProcessWorld> open(const std::string& id, int ranks, int maker_fd,
                                            std::string& fault);
  ~ProcessWorld() override { close_id(); }

 private:
  struct Layout;
  class Turn;
  class Collective;
  class Send;
  class Receive;

  ProcessWorld(int ranks, int maker_fd, std::unique_ptr<SharedMemory> memory)
      : World(ranks), maker_fd_(maker_fd), memory_(std::move(memory)) {}

  void lock() override;
  void unlock() override;
  WorldState& state() override;
  void come(int rank) override;
  void go(int rank) override;
  void look_for_lost_ranks() override;
  std::unique_ptr<PostedCall> post(int rank, const CollectiveCall& call) override;
  void close_id();

  int maker_fd_;                          // -1: another process has it, or nobody any more
  std::unique_ptr<SharedMemory> memory_;  // null when this rank has left
  WorldState last_state_{};               // then
  int own_rank_ = -1;
  /// Calls that follow each other: how many there have been, and how many are done.
  struct Queue {
    uint64_t posted = 0, done = 0;
  };
  Queue collectives_;
  std::map<int, Queue> sends_, receives_;  // by the other rank
};

}  // namespace simt
