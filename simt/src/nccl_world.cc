#include "simt/src/nccl_world.h"

#include <cstring>

#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/memory.h"
#include "simt/src/nccl_reduce.h"

namespace simt {
namespace {

std::chrono::milliseconds timeout() {
  return std::chrono::milliseconds(static_cast<int64_t>(config().timeout_seconds * 1000));
}

void* advance(void* pointer, size_t bytes) { return static_cast<char*>(pointer) + bytes; }
const void* advance(const void* pointer, size_t bytes) {
  return static_cast<const char*>(pointer) + bytes;
}

void move_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0 && to != from) std::memmove(to, from, bytes);
}

/// All ranks' calls agree. Their streams have come to them, and wait.
void carry_out(const std::vector<CollectiveCall>& calls) {
  const OpenMemory open;
  const CollectiveCall& first = calls[0];
  const size_t bytes = first.bytes();
  const auto root = static_cast<size_t>(first.root);
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  switch (first.kind) {
    case CollectiveKind::AllReduce:
    case CollectiveKind::Reduce:
      for (const CollectiveCall& call : calls) inputs.push_back(call.send);
      if (first.kind == CollectiveKind::Reduce) {
        outputs.push_back(calls[root].receive);
      } else {
        for (const CollectiveCall& call : calls) outputs.push_back(call.receive);
      }
      reduce_elements(inputs, outputs, first.count, first.type, first.op);
      break;
    case CollectiveKind::ReduceScatter:
      for (size_t rank = 0; rank < calls.size(); ++rank) {
        inputs.clear();
        for (const CollectiveCall& call : calls) inputs.push_back(advance(call.send, rank * bytes));
        reduce_elements(inputs, {calls[rank].receive}, first.count, first.type, first.op);
      }
      break;
    case CollectiveKind::AllGather:
      for (size_t rank = 0; rank < calls.size(); ++rank) {
        for (const CollectiveCall& call : calls) {
          move_bytes(advance(call.receive, rank * bytes), calls[rank].send, bytes);
        }
      }
      break;
    case CollectiveKind::Broadcast:
      for (const CollectiveCall& call : calls) move_bytes(call.receive, calls[root].send, bytes);
      break;
    case CollectiveKind::Send:
    case CollectiveKind::Recv:
      break;  // these meet in a channel
  }
}

}  // namespace

const char* CollectiveCall::name() const {
  switch (kind) {
    case CollectiveKind::AllReduce:
      return "ncclAllReduce";
    case CollectiveKind::Reduce:
      return "ncclReduce";
    case CollectiveKind::ReduceScatter:
      return "ncclReduceScatter";
    case CollectiveKind::AllGather:
      return "ncclAllGather";
    case CollectiveKind::Broadcast:
      return "ncclBroadcast";
    case CollectiveKind::Send:
      return "ncclSend";
    case CollectiveKind::Recv:
      return "ncclRecv";
  }
  return "";
}

size_t CollectiveCall::bytes() const { return count * element_bytes(type); }

std::string CollectiveCall::text() const {
  std::string text = std::string(name()) + " of " + std::to_string(count) + " elements of type " +
                     std::to_string(type);
  if (reduces()) text += " with operation " + std::to_string(op);
  if (kind == CollectiveKind::Broadcast || kind == CollectiveKind::Reduce) {
    text += " and root " + std::to_string(root);
  }
  return text;
}

// --- Coming and going --------------------------------------------------------------------------

bool World::join(int rank, int device) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (int other = 0; other < ranks_; ++other) {
    if (member(other).presence != Presence::Here) continue;
    if (other != rank && member(other).device != device) continue;
    const std::string text = other == rank ? "rank " + std::to_string(rank) + " joins twice"
                                           : "ranks " + std::to_string(rank) + " and " +
                                                 std::to_string(other) + " are both on device " +
                                                 std::to_string(device);
    if (error_ == ncclSuccess) report("ncclCommInitRank: " + text);
    set_error(ncclInvalidUsage, text);
  }
  member(rank).presence = Presence::Here;
  member(rank).device = device;
  changed_.notify_all();
  return ++joined_ >= ranks_;
}

ncclResult_t World::wait_for_all(int rank) {
  std::unique_lock<std::mutex> lock(mutex_);
  const bool in_time = changed_.wait_for(
      lock, timeout(), [this] { return joined_ >= ranks_ || error_ != ncclSuccess; });
  if (!in_time) {
    const std::string text = "rank " + std::to_string(rank) + " waits, but only " +
                             std::to_string(joined_) + " of " + std::to_string(ranks_) +
                             " ranks have come";
    report("ncclCommInitRank: " + text);
    set_error(ncclSystemError, text);
  }
  return error_;
}

ncclResult_t World::error_for(int rank) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (member(rank).own_error != ncclSuccess) return member(rank).own_error;
  if (error_ != ncclSuccess) return error_;
  return joined_ < ranks_ ? ncclInProgress : ncclSuccess;
}

std::string World::error_text() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return error_text_;
}

void World::leave(int rank, Presence how, ncclResult_t result, const std::string& text) {
  const std::lock_guard<std::mutex> lock(mutex_);
  member(rank).presence = how;
  if (result != ncclSuccess) set_error(result, text);
  changed_.notify_all();
}

void World::set_error(ncclResult_t error, const std::string& text) {
  if (error_ != ncclSuccess) return;
  error_ = error;
  error_text_ = text;
  changed_.notify_all();
}

// --- Meeting -----------------------------------------------------------------------------------

std::shared_ptr<bool> World::post(int rank, const CollectiveCall& call) {
  if (call.point_to_point()) {
    const bool sends = call.kind == CollectiveKind::Send;
    const int from = sends ? rank : call.root, to = sends ? call.root : rank;
    Channel& channel = channels_[{from, to}];
    auto done = std::make_shared<bool>(false);
    (sends ? channel.sends : channel.receives).push_back({call, done});
    match(channel, from, to);
    return done;
  }
  Meeting& meeting = meetings_[call.sequence];
  meeting.calls.resize(static_cast<size_t>(ranks_));
  meeting.present.resize(static_cast<size_t>(ranks_));
  meeting.calls[static_cast<size_t>(rank)] = call;
  meeting.present[static_cast<size_t>(rank)] = true;
  const std::shared_ptr<bool> done = meeting.done;
  if (++meeting.arrived == ranks_) {
    meet(meeting);
    meetings_.erase(call.sequence);
  }
  return done;
}

void World::meet(Meeting& meeting) {
  const CollectiveCall& first = meeting.calls[0];
  for (size_t rank = 1; rank < meeting.calls.size(); ++rank) {
    const CollectiveCall& call = meeting.calls[rank];
    const bool root_counts =
        first.kind == CollectiveKind::Broadcast || first.kind == CollectiveKind::Reduce;
    if (call.kind == first.kind && call.count == first.count && call.type == first.type &&
        (!first.reduces() || call.op == first.op) && (!root_counts || call.root == first.root)) {
      continue;
    }
    const std::string text = "rank 0 calls " + first.text() + ", rank " + std::to_string(rank) +
                             " calls " + call.text() + "; a GPU would hang or compute nonsense";
    fail("NCCL: %s", text.c_str());
    set_error(ncclInvalidUsage, text);
    return;
  }
  carry_out(meeting.calls);
  *meeting.done = true;
}

void World::match(Channel& channel, int from, int to) {
  while (!channel.sends.empty() && !channel.receives.empty()) {
    const Message send = channel.sends.front(), receive = channel.receives.front();
    channel.sends.pop_front();
    channel.receives.pop_front();
    if (send.call.bytes() != receive.call.bytes()) {
      const std::string text = "rank " + std::to_string(from) + " calls " + send.call.text() +
                               ", rank " + std::to_string(to) + " calls " + receive.call.text();
      fail("NCCL: %s", text.c_str());
      set_error(ncclInvalidUsage, text);
      return;
    }
    const OpenMemory open;
    move_bytes(receive.call.receive, send.call.send, send.call.bytes());
    *send.done = *receive.done = true;
  }
}

/// Names the ranks that a call still waits for.
std::string World::who_is_missing(int rank, const CollectiveCall& call, bool only_destroyed) {
  std::string names;
  for (int other = 0; other < ranks_; ++other) {
    if (call.point_to_point() ? other != call.root : other == rank) continue;
    const auto found = meetings_.find(call.sequence);
    if (!call.point_to_point() && found != meetings_.end() &&
        found->second.present[static_cast<size_t>(other)]) {
      continue;
    }
    if (only_destroyed && member(other).presence != Presence::Destroyed) continue;
    names += (names.empty() ? "" : ", ") + std::to_string(other);
  }
  return names;
}

bool NcclWork::attempt() {
  World& world = *comm_->world;
  const int rank = comm_->rank;
  const std::lock_guard<std::mutex> lock(world.mutex_);
  const auto give_up = [&] {
    // What the kernels of a GPU leave when they are told to end.
    const OpenMemory open;
    for (const CollectiveCall& call : calls_) {
      if (call.receive != nullptr && is_device_pointer(call.receive, call.bytes())) {
        std::memset(call.receive, 0xFF, call.bytes());
      }
    }
    return true;
  };
  if (world.error_ != ncclSuccess) return give_up();
  if (!started_) {
    if (sticky_error(comm_->device) != cudaSuccess) {
      world.member(rank).own_error = ncclUnhandledCudaError;
      return true;
    }
    started_ = true;
    deadline_ = std::chrono::steady_clock::now() + timeout();
    for (const CollectiveCall& call : calls_) done_.push_back(world.post(rank, call));
  }
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (*done_[i]) continue;
    if (world.error_ != ncclSuccess) return give_up();
    const bool late = std::chrono::steady_clock::now() > deadline_;
    const std::string missing = world.who_is_missing(rank, calls_[i], !late);
    if (missing.empty()) return false;
    const std::string text = "rank " + std::to_string(rank) + " waits in " + calls_[i].text() +
                             " for rank " + missing +
                             (late ? "" : ", which destroyed its communicator");
    fail("NCCL: %s", text.c_str());
    world.set_error(late ? ncclSystemError : ncclRemoteError, text);
    return give_up();
  }
  return true;
}

}  // namespace simt
