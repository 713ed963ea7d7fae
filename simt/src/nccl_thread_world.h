// Ranks that are host threads of one process: they use each other's memory.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "simt/src/nccl_world.h"

namespace simt {

/// All ranks have the same object of this class. The last to come carries a call out, for all.
class ThreadWorld final : public World {
 public:
  explicit ThreadWorld(int ranks) : World(ranks) {}

 private:
  struct Meeting {
    std::vector<CollectiveCall> calls;
    std::vector<bool> present;
    int arrived = 0;
    bool done = false;
  };
  struct Message {
    CollectiveCall call;
    std::shared_ptr<bool> done;
  };
  /// The sends from one rank to another, and the receives, that have no partner yet.
  struct Channel {
    std::deque<Message> sends, receives;
  };
  class Collective;
  class Transfer;

  WorldState& state() override { return state_; }
  std::unique_ptr<PostedCall> post(int rank, const CollectiveCall& call) override;
  void meet(Meeting& meeting);
  void match(Channel& channel, int from, int to);

  WorldState state_{};
  std::map<uint64_t, std::shared_ptr<Meeting>> meetings_;  // by the sequence number
  std::map<std::pair<int, int>, Channel> channels_;
};

}  // namespace simt
