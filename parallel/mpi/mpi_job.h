// The processes that mpirun has started, seen from one of them.
#pragma once

#include <mpi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/processes.h"

namespace shardgrad::mpi {

class MpiGroup;

/// MPI from its initialisation to its end. What the ranks send each other goes over one
/// communicator of MPI: the messages of a group of ranks are told apart by their tags, so that
/// ranks can form groups, and leave them, without waiting for anybody. News of a failure has
/// another one, and reaches a rank as it waits. Used by all threads of the process.
class MpiJob final : public ProcessLink {
 public:
  /// @throws Error when MPI cannot serve several threads at once.
  MpiJob();
  ~MpiJob() override;

  const ProcessPlace& place() const override { return place_; }
  std::unique_ptr<HostCommunicator> world() override;
  void wait_for_all() override;
  void fail(const std::string& reason) noexcept override;
  std::string failure() const override;
  bool has_to_report() noexcept override;
  [[noreturn]] void end_all(int status) noexcept override;

  MPI_Comm communicator() const { return messages_; }

  /// Whether a rank has failed, as far as this one has heard; see look_for_news().
  bool failed() const { return failed_; }

  /// @throws Error naming `where` when a rank has failed.
  void throw_if_failed(const char* where) const;

  /// A number by which this rank has named no group yet.
  int next_group_number() { return ++groups_named_; }

  /// The first of two tags for the messages of a group: numbers of next_group_number() are unique
  /// on the rank that drew them, so number and rank together are everywhere.
  /// @throws Error when there have been too many groups.
  int tag_of(int group_number, int naming_rank) const;

  /// A group of ranks of the world, in which this process is rank `rank`; see MpiGroup. It stays
  /// until the run ends, when this rank leaves it: not when its communicator goes away, which
  /// happens to a rank that throws before the others have heard of that.
  std::shared_ptr<MpiGroup> form_group(std::vector<int> world_ranks, int rank, int number);

 private:
  void find_place();
  void look_for_news() const;
  void send_news();
  bool wait_for_lower_rank() const;

  ProcessPlace place_;
  MPI_Comm messages_ = MPI_COMM_NULL;
  MPI_Comm news_ = MPI_COMM_NULL;
  int greatest_tag_ = 0;
  std::atomic<int> groups_named_{0};

  mutable std::mutex mutex_;  // of what follows
  std::vector<std::shared_ptr<MpiGroup>> groups_;
  mutable std::atomic<bool> failed_{false};
  mutable std::string failure_;
  bool failed_itself_ = false;  // and not because another rank has
  // Of the others; the number of ranks while there is none.
  mutable std::atomic<int> lowest_failed_rank_{0};
  std::vector<MPI_Request> news_sent_;
};

}  // namespace shardgrad::mpi
