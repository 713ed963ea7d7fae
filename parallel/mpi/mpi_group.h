// A group of ranks that are processes, seen from one of them.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

#include "parallel/mpi/mpi_call_message.h"
#include "parallel/mpi/mpi_job.h"

namespace shardgrad::mpi {

/// How the ranks of a group meet for a call, and send each other its data.
///
/// A rank tells the others what it calls, and waits for what they call. Each pair of ranks
/// exchanges one such message for each call that both take part in, in the order of the calls, and
/// a last one when a rank leaves the group: so every difference shows, and nobody waits for a rank
/// that has left. Data is sent when the ranks are known to agree, and needs no checks.
class MpiGroup {
 public:
  /// The group whose rank i is `world_ranks[i]`; this process is its rank `rank`. The first rank
  /// has named it `number`.
  MpiGroup(MpiJob& job, std::vector<int> world_ranks, int rank, int number);
  MpiGroup(const MpiGroup&) = delete;
  MpiGroup& operator=(const MpiGroup&) = delete;

  MpiJob& job() const { return job_; }
  int size() const { return static_cast<int>(world_ranks_.size()); }
  int rank() const { return rank_; }
  int world_rank(int rank) const { return world_ranks_[rank]; }

  /// Returns when every rank has made the same call.
  /// @throws Error when one of them makes another, has left, or fails.
  void meet(const RankCall& call);

  /// The same for a send or a receive and the other of the two, `call.peer`.
  void meet_peer(const RankCall& call);

  /// What `rank` passed to the meet() that this rank was in last. Good until the next one.
  const RankCall& call_of(int rank) const { return members_[rank].call; }

  /// The group number that `rank` has drawn for that call, which was a split.
  int number_drawn_by(int rank) const { return members_[rank].message.group_number; }

  /// Begin to send to a rank of the group, and to receive from one: as many bytes as it sends. The
  /// buffers stay as they are until finish_transfers().
  void send(const void* data, std::int64_t bytes, int rank);
  void receive(void* data, std::int64_t bytes, int rank);

  /// Returns when everything has been sent and received.
  void finish_transfers();

  /// Tells the others that this rank makes no more calls. Waits for nobody.
  void leave();

  /// Once this rank has left: whether all others have, too, and nothing is on its way any more.
  bool all_have_left();

 private:
  // What is known of one rank; its own message is the one that it sends.
  struct Member {
    CallMessage message;
    RankCall call;
    MPI_Request request = MPI_REQUEST_NULL;  // of receiving the message
    bool has_arrived = false;                // the message of this call
    bool has_left = false;
  };

  void announce(const CallMessage& message, int rank);
  void expect(int rank);
  bool look_for(int rank);
  void wait_for(const char* name, int first, int last);

  MpiJob& job_;
  const std::vector<int> world_ranks_;
  const int rank_;
  const int tag_;
  std::vector<Member> members_;
  std::vector<MPI_Request> announcements_;
  std::vector<MPI_Request> transfers_;
};

}  // namespace shardgrad::mpi
