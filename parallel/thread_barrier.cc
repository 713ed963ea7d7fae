#include "parallel/thread_barrier.h"

#include <thread>

namespace shardgrad {
namespace {

// Polls catch ranks that arrive within some microseconds of each other. There are few of them,
// since other programs may hold the core that a late rank needs; giving the core away helps then.
constexpr int kPolls = 200;
constexpr int kYields = 50;

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

bool ThreadBarrier::arrive(bool interruptible) {
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
  const auto is_waiting = [&](std::uint64_t state) {
    return state / kRound == round && !is_broken(state);
  };
  std::uint64_t now = state_.load();
  for (int poll = 0; polls_ && poll < kPolls && is_waiting(now); ++poll) {
    pause_core();
    now = state_.load();
  }
  for (int yield = 0; yield < kYields && is_waiting(now); ++yield) {
    std::this_thread::yield();
    now = state_.load();
  }
  if (is_waiting(now)) {
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    changed_.wait(lock, [&] { return !is_waiting(now = state_.load()); });
    sleepers_.fetch_sub(1);
  }
  return now / kRound != round;
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
