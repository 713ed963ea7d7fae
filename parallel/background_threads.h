// Threads that a rank has left behind and that may still wait for other ranks.
#pragma once

#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace shardgrad {

/// When a rank throws, what it had running on other threads may be waiting for ranks that have not
/// yet heard of the failure. Whoever started such a thread hands it over here instead of waiting
/// for it, and the launcher joins it once all ranks know.
class BackgroundThreads {
 public:
  BackgroundThreads() = default;
  BackgroundThreads(const BackgroundThreads&) = delete;
  BackgroundThreads& operator=(const BackgroundThreads&) = delete;
  ~BackgroundThreads() { join(); }

  /// Takes over `thread`, which ends by itself once every rank has heard of a failure.
  void adopt(std::thread thread) {
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_.push_back(std::move(thread));
  }

  /// Waits for the threads that were handed over.
  void join() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

}  // namespace shardgrad
