// How a thread waits for messages.
#pragma once

#include <chrono>
#include <thread>

namespace shardgrad::mpi {

/// A message comes in only while somebody asks MPI for it, so a rank that waits polls: without a
/// pause for some microseconds, then giving its core away in between, to other ranks and to its own
/// other threads, and at last asleep for most of the time.
class Pause {
 public:
  /// `may_sleep`: false while messages are on their way, which are slowed down by every sleep.
  explicit Pause(bool may_sleep) : may_sleep_(may_sleep) {}

  /// To be called after each poll that was in vain.
  void operator()() {
    if (polls_ < kPolls + kYields) ++polls_;
    if (polls_ <= kPolls) return;
    if (!is_long() || !may_sleep_) return std::this_thread::yield();
    std::this_thread::sleep_for(sleep_);
    if (sleep_ < kLongestSleep) sleep_ += sleep_ / 4;
  }

  /// Whether the wait has taken long enough to look for other things, too.
  bool is_long() const { return polls_ == kPolls + kYields; }

 private:
  static constexpr int kPolls = 200, kYields = 200;
  static constexpr std::chrono::microseconds kLongestSleep{500};
  const bool may_sleep_;
  int polls_ = 0;
  std::chrono::microseconds sleep_{20};
};

}  // namespace shardgrad::mpi
