#include "simt/src/nccl_world.h"

#include <cstdio>
#include <cstring>
#include <thread>

#include "simt/src/error.h"
#include "simt/src/memory.h"

namespace simt {
namespace {

std::chrono::milliseconds timeout() {
  return std::chrono::milliseconds(static_cast<int64_t>(config().timeout_seconds * 1000));
}

}  // namespace

// --- Coming and going --------------------------------------------------------------------------

void World::join(int rank, int device) {
  const std::lock_guard<World> lock(*this);
  for (int other = 0; other < ranks_; ++other) {
    if (member(other).presence != Presence::Here) continue;
    if (other != rank && member(other).device != device) continue;
    const std::string text = other == rank ? "rank " + std::to_string(rank) + " joins twice"
                                           : "ranks " + std::to_string(rank) + " and " +
                                                 std::to_string(other) + " are both on device " +
                                                 std::to_string(device);
    if (set_error(ncclInvalidUsage, text)) report("ncclCommInitRank: " + text);
  }
  come(rank);
  member(rank).presence = Presence::Here;
  member(rank).device = device;
  ++state().joined;
}

ncclResult_t World::wait_for_all(int rank) {
  const auto deadline = std::chrono::steady_clock::now() + timeout();
  for (;;) {
    const bool late = std::chrono::steady_clock::now() > deadline;
    const ncclResult_t result = error_for(rank);
    if (result != ncclInProgress) return result;
    if (late) break;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  const std::lock_guard<World> lock(*this);
  const std::string text = "rank " + std::to_string(rank) + " waits, but only " +
                           std::to_string(state().joined) + " of " + std::to_string(ranks_) +
                           " ranks have come";
  if (set_error(ncclSystemError, text)) report("ncclCommInitRank: " + text);
  return state().error;
}

ncclResult_t World::error_for(int rank) {
  const std::lock_guard<World> lock(*this);
  look_for_lost_ranks();
  if (member(rank).own_error != ncclSuccess) return member(rank).own_error;
  if (state().error != ncclSuccess) return state().error;
  return state().joined < ranks_ ? ncclInProgress : ncclSuccess;
}

std::string World::error_text() {
  const std::lock_guard<World> lock(*this);
  return state().error_text;
}

void World::leave(int rank, Presence how, ncclResult_t result, const std::string& text) {
  const std::lock_guard<World> lock(*this);
  member(rank).presence = how;
  if (result != ncclSuccess) set_error(result, text);
  go(rank);
}

bool World::set_error(ncclResult_t error, const std::string& text) {
  if (state().error != ncclSuccess) return false;
  std::snprintf(state().error_text, sizeof state().error_text, "%s", text.c_str());
  state().error = error;
  return true;
}

void World::set_mismatch(const std::string& text) {
  if (set_error(ncclInvalidUsage, text)) fail("NCCL: %s", text.c_str());
}

// --- Work --------------------------------------------------------------------------------------

/// Names the ranks that a call still waits for.
std::string World::who_is_missing(int rank, const CollectiveCall& call, const PostedCall& posted,
                                  bool only_destroyed) {
  std::string names;
  for (int other = 0; other < ranks_; ++other) {
    if (call.point_to_point() ? other != call.root : other == rank || posted.has_come(other)) {
      continue;
    }
    if (only_destroyed && member(other).presence != Presence::Destroyed) continue;
    names += (names.empty() ? "" : ", ") + std::to_string(other);
  }
  return names;
}

/// Leaves what the kernels of a GPU leave when they are told to end.
bool NcclWork::give_up() const {
  const OpenMemory open;
  for (const CollectiveCall& call : calls_) {
    if (call.receive != nullptr && is_device_pointer(call.receive, call.bytes())) {
      std::memset(call.receive, 0xFF, call.bytes());
    }
  }
  return true;
}

bool NcclWork::attempt() {
  World& world = *comm_->world;
  const int rank = comm_->rank;
  const std::lock_guard<World> lock(world);
  if (world.state().error != ncclSuccess) return give_up();
  if (!started_) {
    if (sticky_error(comm_->device) != cudaSuccess) {
      world.member(rank).own_error = ncclUnhandledCudaError;
      return true;
    }
    started_ = true;
    deadline_ = std::chrono::steady_clock::now() + timeout();
    for (const CollectiveCall& call : calls_) posted_.push_back(world.post(rank, call));
  }
  bool all_done = true;
  for (auto& posted : posted_) {
    if (posted != nullptr && posted->advance()) posted = nullptr;
    all_done = all_done && posted == nullptr;
  }
  if (all_done) return true;
  world.look_for_lost_ranks();
  if (world.state().error != ncclSuccess) return give_up();
  const bool late = std::chrono::steady_clock::now() > deadline_;
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (posted_[i] == nullptr) continue;
    const std::string missing = world.who_is_missing(rank, calls_[i], *posted_[i], !late);
    if (missing.empty()) continue;
    const std::string text = "rank " + std::to_string(rank) + " waits in " + calls_[i].text() +
                             " for rank " + missing +
                             (late ? "" : ", which destroyed its communicator");
    fail("NCCL: %s", text.c_str());
    world.set_error(late ? ncclSystemError : ncclRemoteError, text);
    return give_up();
  }
  return false;
}

}  // namespace simt
