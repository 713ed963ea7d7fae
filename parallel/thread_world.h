// What all ranks of a run share when they are threads of one process: who has failed or finished.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shardgrad {

class ThreadGroup;

/// The ranks of one run. Every group that they form is added here, so that a rank's end reaches
/// whoever waits for it, in whichever group.
class ThreadWorld {
 public:
  /// `polls`: whether waiting ranks may poll, that is, whether each has a core.
  ThreadWorld(int size, bool polls);

  bool polls() const { return polls_; }

  /// Says that the calling thread is the one that computes what `rank` computes.
  void start(int rank) { computing_[rank] = std::this_thread::get_id(); }

  /// Whether the calling thread may work for other ranks while it waits for them: it is the one
  /// that computes for `rank` and has a core. Threads that only communicate leave theirs to it.
  bool may_help(int rank) const { return polls_ && computing_[rank] == std::this_thread::get_id(); }

  int size() const { return static_cast<int>(finished_.size()); }
  bool failed() const { return failed_; }
  /// "rank 1 failed: ..."; "" while none has.
  std::string failure() const;
  bool finished(int rank) const { return finished_[rank]; }

  /// Releases every rank of every group. The first failure is the one that is reported.
  void fail(int rank, const std::string& message) noexcept;

  /// Releases the ranks that need `rank`, which makes no more calls.
  void finish(int rank) noexcept;

  /// Tells `group` of every failure and end, past and future, for as long as it lives.
  void add(const std::shared_ptr<ThreadGroup>& group);

  /// Throws the Error for a call `where` of `waiting_rank` that cannot end, since a rank has failed
  /// or one of `needed_ranks` has finished.
  [[noreturn]] void throw_interruption(const char* where, int waiting_rank,
                                       const std::vector<int>& needed_ranks) const;

 private:
  void notify_groups();  // with mutex_ held

  const bool polls_;
  std::atomic<bool> failed_{false};
  std::vector<std::thread::id> computing_;  // by rank; each is read and written by its own threads
  std::vector<std::atomic<bool>> finished_;
  mutable std::mutex mutex_;
  std::string failure_;
  std::vector<std::weak_ptr<ThreadGroup>> groups_;
};

}  // namespace shardgrad
