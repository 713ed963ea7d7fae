#include "simt/src/nccl_process_world.h"

#include <unistd.h>

namespace simt {

/// What is in the memory: of zeros at first.
struct ProcessWorld::Layout {
  SharedMemoryStart start;
  int ranks;
  WorldState state;

  static Layout& of(const ProcessWorld& world) {
    return *reinterpret_cast<Layout*>(world.memory_->data());
  }
  static size_t bytes(int ranks) {
    const auto all = static_cast<size_t>(ranks);
    return offset() + (all + all * all) * sizeof(Mailbox);
  }
  /// Of a rank, for collectives.
  static Mailbox& mailbox(const ProcessWorld& world, int rank) {
    return reinterpret_cast<Mailbox*>(world.memory_->data() + offset())[rank];
  }
  /// From one rank to another.
  static Mailbox& mailbox(const ProcessWorld& world, int from, int to) {
    return mailbox(world, world.ranks() * (1 + from) + to);
  }

 private:
  static size_t offset() {
    return (sizeof(Layout) + alignof(Mailbox) - 1) / alignof(Mailbox) * alignof(Mailbox);
  }
};

// --- Coming and going --------------------------------------------------------------------------

std::shared_ptr<ProcessWorld> ProcessWorld::open(const std::string& id, int ranks, int maker_fd,
                                                 std::string& fault) {
  auto memory = SharedMemory::open(id, Layout::bytes(ranks), fault);
  if (memory == nullptr) return nullptr;
  std::shared_ptr<ProcessWorld> world(new ProcessWorld(ranks, maker_fd, std::move(memory)));
  const std::lock_guard<World> lock(*world);
  int& first_said = Layout::of(*world).ranks;
  if (first_said == 0) first_said = ranks;
  if (first_said == ranks) return world;
  fault = std::to_string(ranks) + " ranks, another rank said " + std::to_string(first_said);
  return nullptr;
}

void ProcessWorld::lock() {
  World::lock();
  if (memory_ != nullptr) memory_->lock();
}

void ProcessWorld::unlock() {
  if (memory_ != nullptr) memory_->unlock();
  World::unlock();
}

WorldState& ProcessWorld::state() {
  return memory_ != nullptr ? Layout::of(*this).state : last_state_;
}

void ProcessWorld::come(int rank) {
  own_rank_ = rank;
  memory_->show(rank);
}

/// What this rank still has in its streams is given up.
void ProcessWorld::go(int) {
  if (memory_ == nullptr) return;
  last_state_ = state();
  memory_.reset();
  set_error(ncclInvalidUsage, "the communicator was destroyed");
  close_id();
}

void ProcessWorld::look_for_lost_ranks() {
  if (memory_ == nullptr) return;
  if (state().joined >= ranks()) close_id();
  for (int rank = 0; rank < ranks(); ++rank) {
    if (member(rank).presence != Presence::Here || rank == own_rank_ || memory_->shows(rank))
      continue;
    set_error(ncclRemoteError, "rank " + std::to_string(rank) + " is gone: its process has ended");
  }
}

void ProcessWorld::close_id() {
  if (maker_fd_ >= 0) close(maker_fd_);
  maker_fd_ = -1;
}

// --- Calls -------------------------------------------------------------------------------------

/// A call's place in a queue: the one given, or the next.
class ProcessWorld::Turn {
 public:
  explicit Turn(Queue& queue) : Turn(queue, queue.posted++) {}
  Turn(Queue& queue, uint64_t number) : queue_(queue), number_(number) {}
  bool has_come() const { return queue_.done == number_; }
  void end() { ++queue_.done; }

 private:
  Queue& queue_;
  const uint64_t number_;
};

class ProcessWorld::Collective final : public PostedCall {
 public:
  Collective(ProcessWorld& world, int rank, const CollectiveCall& call)
      : world_(world), rank_(rank), call_(call), turn_(world.collectives_, call.sequence) {}

  bool advance() override {
    if (!turn_.has_come()) return false;
    Mailbox& own = Layout::mailbox(world_, rank_);
    while (all_have_come()) {
      if (own.put == own.taken) {
        put_piece(call_, rank_, world_.ranks(), piece_, own);
        ++own.put;
        continue;
      }
      std::vector<const Mailbox*> boxes;
      for (int rank = 0; rank < world_.ranks(); ++rank) {
        boxes.push_back(&Layout::mailbox(world_, rank));
      }
      if (piece_ == 0 && !agree(boxes)) return false;
      take_piece(call_, rank_, piece_, boxes);
      ++own.taken;
      if (++piece_ < piece_count(call_, world_.ranks())) continue;
      turn_.end();
      return true;
    }
    return false;
  }

  /// To where this rank is: it puts its next piece down when all have taken the one before.
  bool has_come(int rank) const override {
    if (!turn_.has_come()) return false;
    const Mailbox& own = Layout::mailbox(world_, rank_);
    const Mailbox& other = Layout::mailbox(world_, rank);
    return own.put == own.taken ? other.taken >= own.put : other.put >= own.put;
  }

 private:
  bool all_have_come() const {
    for (int rank = 0; rank < world_.ranks(); ++rank) {
      if (!has_come(rank)) return false;
    }
    return true;
  }

  bool agree(const std::vector<const Mailbox*>& boxes) const {
    std::vector<CollectiveCall> calls;
    for (const Mailbox* box : boxes) calls.push_back(box->call);
    const std::string difference = disagreement(calls);
    if (!difference.empty()) world_.set_mismatch(difference);
    return difference.empty();
  }

  ProcessWorld& world_;
  const int rank_;
  const CollectiveCall call_;
  Turn turn_;
  size_t piece_ = 0;
};

class ProcessWorld::Send final : public PostedCall {
 public:
  Send(ProcessWorld& world, int rank, const CollectiveCall& call)
      : world_(world), rank_(rank), call_(call), turn_(world.sends_[call.root]) {}

  /// It is done when everything was taken.
  bool advance() override {
    if (!turn_.has_come()) return false;
    Mailbox& box = Layout::mailbox(world_, rank_, call_.root);
    if (box.put != box.taken) return false;
    if (piece_ == piece_count(call_, 1)) {
      turn_.end();
      return true;
    }
    put_piece(call_, rank_, 1, piece_++, box);
    ++box.put;
    return false;
  }

  bool has_come(int) const override { return false; }

 private:
  ProcessWorld& world_;
  const int rank_;
  const CollectiveCall call_;
  Turn turn_;
  size_t piece_ = 0;
};

class ProcessWorld::Receive final : public PostedCall {
 public:
  Receive(ProcessWorld& world, int rank, const CollectiveCall& call)
      : world_(world), rank_(rank), call_(call), turn_(world.receives_[call.root]) {}

  bool advance() override {
    if (!turn_.has_come()) return false;
    Mailbox& box = Layout::mailbox(world_, call_.root, rank_);
    if (box.put == box.taken) return false;
    if (piece_ == 0) {
      const std::string difference = disagreement(box.call, call_.root, call_, rank_);
      if (!difference.empty()) {
        world_.set_mismatch(difference);
        return false;
      }
    }
    take_piece(call_, piece_, box);
    ++box.taken;
    if (++piece_ < piece_count(call_, 1)) return false;
    turn_.end();
    return true;
  }

  bool has_come(int) const override { return false; }

 private:
  ProcessWorld& world_;
  const int rank_;
  const CollectiveCall call_;
  Turn turn_;
  size_t piece_ = 0;
};

std::unique_ptr<PostedCall> ProcessWorld::post(int rank, const CollectiveCall& call) {
  if (call.kind == CollectiveKind::Send) return std::make_unique<Send>(*this, rank, call);
  if (call.kind == CollectiveKind::Recv) return std::make_unique<Receive>(*this, rank, call);
  return std::make_unique<Collective>(*this, rank, call);
}

}  // namespace simt
