#include "parallel/mpi/mpi_group.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "parallel/mpi/mpi_error.h"
#include "parallel/mpi/mpi_pause.h"

namespace shardgrad::mpi {
namespace {

constexpr const char* kWhere = "mpi";

// MPI counts bytes in an int, so larger tensors are several messages.
constexpr std::int64_t kMessageBytes = std::int64_t{8} << 20;

// Whether MPI has finished all of these.
bool are_done(std::vector<MPI_Request>& requests) {
  int done = 0;
  check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
        kWhere);
  return done != 0;
}

// Calls `body(address, bytes)` for each message that a buffer is sent in.
template <class Body>
void for_each_message(char* data, std::int64_t bytes, const Body& body) {
  for (std::int64_t start = 0; start < bytes; start += kMessageBytes) {
    body(data + start, static_cast<int>(std::min(kMessageBytes, bytes - start)));
  }
}

}  // namespace

MpiGroup::MpiGroup(MpiJob& job, std::vector<int> world_ranks, int rank, int number)
    : job_(job),
      world_ranks_(std::move(world_ranks)),
      rank_(rank),
      tag_(job.tag_of(number, world_ranks_.front())),
      members_(world_ranks_.size()) {}

// --- Meeting ------------------------------------------------------------------------------------

void MpiGroup::announce(const CallMessage& message, int rank) {
  announcements_.push_back(MPI_REQUEST_NULL);
  check(MPI_Isend(&message, sizeof(message), MPI_BYTE, world_ranks_[rank], tag_,
                  job_.communicator(), &announcements_.back()),
        kWhere);
}

// A call that was interrupted may have left its receive behind.
void MpiGroup::expect(int rank) {
  Member& member = members_[rank];
  member.has_arrived = false;
  if (member.has_left || member.request != MPI_REQUEST_NULL) return;
  check(MPI_Irecv(&member.message, sizeof(member.message), MPI_BYTE, world_ranks_[rank], tag_,
                  job_.communicator(), &member.request),
        kWhere);
}

// Whether the message of `rank` is there, or none will come.
bool MpiGroup::look_for(int rank) {
  Member& member = members_[rank];
  if (member.has_arrived || member.has_left) return true;
  int done = 0;
  check(MPI_Test(&member.request, &done, MPI_STATUS_IGNORE), kWhere);
  if (done == 0) return false;
  member.has_left = member.message.has_left();
  member.has_arrived = !member.has_left;
  if (member.has_arrived) member.call = decode(member.message);
  return true;
}

// Returns when the ranks [first, last), this one apart, have announced their calls.
void MpiGroup::wait_for(const char* name, int first, int last) {
  for (Pause pause(/*may_sleep=*/true);; pause()) {
    bool all = true;
    for (int rank = first; rank < last; ++rank) {
      if (rank == rank_) continue;
      all = look_for(rank) && all;
      require(!members_[rank].has_left, name, "rank {} has finished while rank {} waits in {}",
              world_rank(rank), world_rank(rank_), name);
    }
    if (all && are_done(announcements_)) break;
    if (pause.is_long()) job_.throw_if_failed(name);
  }
  announcements_.clear();
}

void MpiGroup::meet(const RankCall& call) {
  if (job_.failed()) job_.throw_if_failed(call.name);
  Member& self = members_[rank_];
  self.call = call;
  self.message =
      encode(call, std::string_view(call.name) == "split" ? job_.next_group_number() : 0);
  for (int rank = 0; rank < size(); ++rank) {
    if (rank == rank_) continue;
    expect(rank);
    announce(self.message, rank);
  }
  wait_for(call.name, 0, size());
  for (int rank = 1; rank < size(); ++rank) {
    require_agreement(call.name, call_of(0), world_rank(0), call_of(rank), world_rank(rank));
  }
}

void MpiGroup::meet_peer(const RankCall& call) {
  if (job_.failed()) job_.throw_if_failed(call.name);
  members_[rank_].message = encode(call, 0);
  expect(call.peer);
  announce(members_[rank_].message, call.peer);
  wait_for(call.name, call.peer, call.peer + 1);
  const RankCall& theirs = call_of(call.peer);
  const bool sends = std::string_view(call.name) == "send";
  const bool is_counterpart = std::string_view(theirs.name) == (sends ? "receive" : "send") &&
                              theirs.peer == rank_ && theirs.dtype == call.dtype &&
                              theirs.device.type == call.device.type &&
                              theirs.shape.numel() == call.shape.numel();
  require(
      is_counterpart, call.name,
      "rank {} called {} but rank {} called {}; both must pass the same tensor, one to send and "
      "one to receive",
      world_rank(rank_), to_string(call), world_rank(call.peer), to_string(theirs));
}

// --- Data ---------------------------------------------------------------------------------------

void MpiGroup::send(const void* data, std::int64_t bytes, int rank) {
  // MPI takes a pointer to const, for_each_message() one to either.
  for_each_message(const_cast<char*>(static_cast<const char*>(data)), bytes,
                   [&](const char* part, int length) {
                     transfers_.push_back(MPI_REQUEST_NULL);
                     check(MPI_Isend(part, length, MPI_BYTE, world_ranks_[rank], tag_ + 1,
                                     job_.communicator(), &transfers_.back()),
                           kWhere);
                   });
}

void MpiGroup::receive(void* data, std::int64_t bytes, int rank) {
  for_each_message(static_cast<char*>(data), bytes, [&](char* part, int length) {
    transfers_.push_back(MPI_REQUEST_NULL);
    check(MPI_Irecv(part, length, MPI_BYTE, world_ranks_[rank], tag_ + 1, job_.communicator(),
                    &transfers_.back()),
          kWhere);
  });
}

// Nothing interrupts it, lest a buffer go away that MPI still uses. The ranks are all here; one
// that dies takes the job with it.
void MpiGroup::finish_transfers() {
  for (Pause pause(/*may_sleep=*/false); !are_done(transfers_);) pause();
  transfers_.clear();
}

// --- The end ------------------------------------------------------------------------------------

// After a failure the others hear of that instead.
void MpiGroup::leave() {
  if (job_.failed()) return;
  // Not the buffer of an announcement that may still be on its way.
  static const CallMessage message = farewell();
  for (int rank = 0; rank < size(); ++rank) {
    if (rank != rank_) announce(message, rank);
  }
}

bool MpiGroup::all_have_left() {
  bool all = true;
  for (int rank = 0; rank < size(); ++rank) {
    Member& member = members_[rank];
    if (rank == rank_ || member.has_left) continue;
    // Its calls go unanswered: it hears that this rank has left.
    if (member.request == MPI_REQUEST_NULL) expect(rank);
    if (look_for(rank) && member.has_arrived) expect(rank);
    all = all && member.has_left;
  }
  return are_done(announcements_) && all;
}

}  // namespace shardgrad::mpi
