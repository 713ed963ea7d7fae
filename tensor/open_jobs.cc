#include "tensor/open_jobs.h"

#include <omp.h>

#include <thread>

namespace shardgrad {

OpenJobs& OpenJobs::of_process() {
  static OpenJobs jobs;
  return jobs;
}

OpenJobs::Listing::Place* OpenJobs::list(const Listing::Job& job) {
  for (Listing::Place& place : places_) {
    const Listing::Job* nothing = nullptr;
    if (place.job.load(std::memory_order_relaxed) == nullptr &&
        place.job.compare_exchange_strong(nothing, &job)) {
      return &place;
    }
  }
  return nullptr;
}

// A helper counts itself before it looks for the job, and the job goes before its owner looks at
// that number: so one of the two sees the other. The place stays taken until the helpers have left,
// lest helpers of a next job keep this one's owner waiting.
OpenJobs::Listing::~Listing() {
  static const Job closed{};
  if (place_ == nullptr) return;
  place_->job = &closed;
  while (place_->helpers != 0) std::this_thread::yield();
  place_->job = nullptr;
}

bool OpenJobs::help(const std::function<bool()>& may_go_on) noexcept {
  for (Listing::Place& place : places_) {
    if (place.job.load(std::memory_order_relaxed) == nullptr) continue;
    ++place.helpers;
    const Listing::Job* const job = place.job;
    const bool helps = job != nullptr && job->shares != nullptr && !job->shares->is_empty();
    if (helps) {
#pragma omp parallel
      job->work(job->body, TakePieces(*job->shares, may_go_on));
    }
    --place.helpers;
    if (helps) return true;
  }
  return false;
}

}  // namespace shardgrad
