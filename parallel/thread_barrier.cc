#include "parallel/thread_barrier.h"

#include <algorithm>
#include <thread>

#include "tensor/open_jobs.h"

namespace shardgrad {

using std::chrono::microseconds;

namespace {

// Polls catch ranks that arrive within some microseconds of each other. There are few of them,
// since other programs may hold the core that a late rank needs; giving the core away helps then.
// The yields take about a millisecond: a core that sleeps in a virtual machine takes longer to wake
// than most ranks to come.
constexpr int kPolls = 200;
constexpr int kYields = 2000;

// A sleeping helper looks for work after the first of these, and each time that it finds none after
// twice as long: it then comes late by no more than it has waited already. A timer costs a virtual
// machine some microseconds, so ranks that wait for the disk, say, would disturb other programs.
constexpr microseconds kFirstSleep{100};
constexpr microseconds kLongestSleep{10000};

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

bool ThreadBarrier::arrive(bool interruptible, bool helps) {
  const auto is_broken = [&](std::uint64_t state) {
    return interruptible && (state & kInterrupted) != 0;
  };
  std::uint64_t before = state_.load();
  std::uint64_t after;
  bool is_last;
  do {
    if (is_broken(before)) return false;
    const std::uint64_t arrived = (before & kArrivals) + 1;
    is_last = arrived == static_cast<std::uint64_t>(threads_);
    after = is_last ? before - (arrived - 1) + kRound : before + 1;
  } while (!state_.compare_exchange_weak(before, after));
  if (is_last) {
    wake_sleepers();
    return true;
  }

  const std::uint64_t round = before / kRound;
  wait_while(
      [&] {
        const std::uint64_t now = state_.load();
        return now / kRound == round && !is_broken(now);
      },
      helps);
  return state_.load() / kRound != round;
}

void ThreadBarrier::wait_while(const std::function<bool()>& is_waiting, bool helps) {
  for (int poll = 0; polls_ && poll < kPolls && is_waiting(); ++poll) pause_core();
  microseconds sleep = kFirstSleep;
  for (int yields = 0; is_waiting();) {
    if (helps && OpenJobs::of_process().help(is_waiting)) {
      yields = 0;
      sleep = kFirstSleep;
    } else if (yields < kYields) {
      ++yields;
      std::this_thread::yield();
    } else {
      sleep_while(is_waiting, helps ? std::optional(sleep) : std::nullopt);
      sleep = std::min(2 * sleep, kLongestSleep);
    }
  }
}

void ThreadBarrier::sleep_while(const std::function<bool()>& is_waiting,
                                std::optional<microseconds> longest) {
  const auto is_over = [&] { return !is_waiting(); };
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  if (longest) {
    changed_.wait_for(lock, *longest, is_over);
  } else {
    changed_.wait(lock, is_over);
  }
  sleepers_.fetch_sub(1);
}

void ThreadBarrier::interrupt() noexcept {
  state_.fetch_or(kInterrupted);
  wake_sleepers();
}

// A thread counts itself among the sleepers before it looks at the state for the last time, and the
// state changes before this looks for sleepers: so one of the two sees the other.
void ThreadBarrier::wake_sleepers() noexcept {
  if (sleepers_.load() == 0) return;
  { std::lock_guard<std::mutex> lock(mutex_); }
  changed_.notify_all();
}

}  // namespace shardgrad
