#include "simt/src/nccl_thread_world.h"

#include <cstring>

#include "simt/src/memory.h"
#include "simt/src/nccl_reduce.h"

namespace simt {
namespace {

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

class ThreadWorld::Collective final : public PostedCall {
 public:
  explicit Collective(std::shared_ptr<Meeting> meeting) : meeting_(std::move(meeting)) {}
  bool advance() override { return meeting_->done; }
  bool has_come(int rank) const override { return meeting_->present[static_cast<size_t>(rank)]; }

 private:
  std::shared_ptr<Meeting> meeting_;
};

class ThreadWorld::Transfer final : public PostedCall {
 public:
  explicit Transfer(std::shared_ptr<bool> done) : done_(std::move(done)) {}
  bool advance() override { return *done_; }
  bool has_come(int) const override { return false; }

 private:
  std::shared_ptr<bool> done_;
};

std::unique_ptr<PostedCall> ThreadWorld::post(int rank, const CollectiveCall& call) {
  if (call.point_to_point()) {
    const bool sends = call.kind == CollectiveKind::Send;
    const int from = sends ? rank : call.root, to = sends ? call.root : rank;
    Channel& channel = channels_[{from, to}];
    auto done = std::make_shared<bool>(false);
    (sends ? channel.sends : channel.receives).push_back({call, done});
    match(channel, from, to);
    return std::make_unique<Transfer>(std::move(done));
  }
  std::shared_ptr<Meeting>& place = meetings_[call.sequence];
  if (place == nullptr) place = std::make_shared<Meeting>();
  const std::shared_ptr<Meeting> meeting = place;
  meeting->calls.resize(static_cast<size_t>(ranks()));
  meeting->present.resize(static_cast<size_t>(ranks()));
  meeting->calls[static_cast<size_t>(rank)] = call;
  meeting->present[static_cast<size_t>(rank)] = true;
  if (++meeting->arrived == ranks()) {
    meet(*meeting);
    meetings_.erase(call.sequence);
  }
  return std::make_unique<Collective>(meeting);
}

void ThreadWorld::meet(Meeting& meeting) {
  const std::string difference = disagreement(meeting.calls);
  if (!difference.empty()) return set_mismatch(difference);
  carry_out(meeting.calls);
  meeting.done = true;
}

void ThreadWorld::match(Channel& channel, int from, int to) {
  while (!channel.sends.empty() && !channel.receives.empty()) {
    const Message send = channel.sends.front(), receive = channel.receives.front();
    channel.sends.pop_front();
    channel.receives.pop_front();
    const std::string difference = disagreement(send.call, from, receive.call, to);
    if (!difference.empty()) return set_mismatch(difference);
    const OpenMemory open;
    move_bytes(receive.call.receive, send.call.send, send.call.bytes());
    *send.done = *receive.done = true;
  }
}

}  // namespace simt
