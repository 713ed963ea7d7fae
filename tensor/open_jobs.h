// Work of one thread that others, which wait, may help with.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

#include "tensor/work_shares.h"

namespace shardgrad {

/// How one thread takes pieces of a job: each call returns one that no other call has returned or
/// will return, for this thread to work on, or -1 when there is none left for it.
class TakePieces {
 public:
  /// For the owner of share `thread`.
  TakePieces(WorkShares& shares, int thread) : shares_(shares), thread_(thread) {}

  /// For a helper, which takes no more once may_go_on() is false.
  TakePieces(WorkShares& shares, const std::function<bool()>& may_go_on)
      : shares_(shares), may_go_on_(&may_go_on) {}

  std::int64_t operator()() const {
    if (may_go_on_ == nullptr) return shares_.take(thread_);
    return (*may_go_on_)() ? shares_.take_from_others() : -1;
  }

 private:
  WorkShares& shares_;
  int thread_ = 0;
  const std::function<bool()>* may_go_on_ = nullptr;
};

/// The jobs of a process that its waiting threads may help with. Ranks that are threads wait for
/// each other at every collective; while one waits, its cores take pieces of the others' loops. So
/// a rank on a slow core, or with more to do, holds the others up for a piece of its work only.
/// A process has one such list, as it has one set of cores.
class OpenJobs {
 public:
  /// The process's.
  static OpenJobs& of_process();

  OpenJobs() = default;
  OpenJobs(const OpenJobs&) = delete;
  OpenJobs& operator=(const OpenJobs&) = delete;

  /// Lists a job for as long as it lives; its end waits for helpers to finish the pieces they have
  /// taken.
  class Listing {
   public:
    /// Helpers call `body(take)` with a `const TakePieces&` on `shares`. If there is no place left
    /// on the list, the job has no helpers.
    template <class Body>
    Listing(OpenJobs& jobs, WorkShares& shares, const Body& body)
        : job_{&shares, &body, [](const void* work, const TakePieces& take) {
                 (*static_cast<const Body*>(work))(take);
               }} {
      place_ = jobs.list(job_);
    }
    ~Listing();
    Listing(const Listing&) = delete;
    Listing& operator=(const Listing&) = delete;

   private:
    friend class OpenJobs;
    struct Job {
      WorkShares* shares;
      const void* body;
      void (*work)(const void* body, const TakePieces& take);
    };
    struct alignas(64) Place {
      std::atomic<const Job*> job{nullptr};
      std::atomic<int> helpers{0};
    };

    const Job job_;
    Place* place_;
  };

  /// Works on pieces of a listed job, with the threads that the calling one may use, until there
  /// are none left or may_go_on() is false; that is asked before each piece, by each thread.
  /// Returns false when there was no piece to be had. Bodies must not throw.
  bool help(const std::function<bool()>& may_go_on) noexcept;

 private:
  Listing::Place* list(const Listing::Job& job);

  // As many threads of one process can have helpers at a time.
  std::array<Listing::Place, 32> places_;
};

}  // namespace shardgrad
