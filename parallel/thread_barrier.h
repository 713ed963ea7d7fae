// The barrier of a group of threads, which a failure can break.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

namespace shardgrad {

/// A reusable barrier. A thread waits by polling for some microseconds, if the threads have a core
/// each, and then asleep. A thread that `helps` works on OpenJobs meanwhile, those of threads that
/// are still to come among them.
///
/// interrupt() breaks it for good: the threads that wait, or come later, get `false`. Completion
/// and interruption exclude each other: either all threads of a round get `true`, or all get
/// `false`.
class ThreadBarrier {
 public:
  /// `polls`: whether waiting threads poll before they sleep.
  ThreadBarrier(int threads, bool polls) : threads_(threads), polls_(polls) {}
  ThreadBarrier(const ThreadBarrier&) = delete;
  ThreadBarrier& operator=(const ThreadBarrier&) = delete;

  /// Returns true when all threads have arrived, false when the barrier is interrupted first.
  bool arrive_and_wait(bool helps = false) { return arrive(/*interruptible=*/true, helps); }

  /// Returns when all threads have arrived, interrupted or not: for threads that hold on to each
  /// other's memory and are known to come.
  void arrive_and_wait_uninterruptibly(bool helps = false) {
    arrive(/*interruptible=*/false, helps);
  }

  /// Breaks the barrier, for good.
  void interrupt() noexcept;

  bool interrupted() const { return (state_.load(std::memory_order_acquire) & kInterrupted) != 0; }

 private:
  // state_ holds the number of the round, whether the barrier is interrupted, and how many threads
  // have arrived in this round: in one word, so that one exchange decides what becomes of a round.
  static constexpr std::uint64_t kRound = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kInterrupted = std::uint64_t{1} << 31;
  static constexpr std::uint64_t kArrivals = kInterrupted - 1;

  bool arrive(bool interruptible, bool helps);
  void wait_while(const std::function<bool()>& is_waiting, bool helps);
  void sleep_while(const std::function<bool()>& is_waiting,
                   std::optional<std::chrono::microseconds> longest);
  void wake_sleepers() noexcept;

  const int threads_;
  const bool polls_;
  alignas(64) std::atomic<std::uint64_t> state_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace shardgrad
