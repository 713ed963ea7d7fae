// How the threads of a loop share its pieces.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace shardgrad {

/// Pieces 0 to count - 1 of a job, dealt out in equal contiguous shares, one per thread. A thread
/// takes its own share from the front; when that is empty it takes from the back of the share with
/// the most left. So cores that are slowed down, by neighbours or by a clock of their own, do less,
/// and each thread still works through neighbouring pieces. Source: the deques of Blumofe,
/// Leiserson, "Scheduling Multithreaded Computations by Work Stealing", JACM 46(5), 1999.
class WorkShares {
 public:
  /// Shares for threads 0 to threads - 1; count < 2^32.
  WorkShares(std::int64_t count, int threads) : shares_(threads) {
    for (int thread = 0; thread < threads; ++thread) {
      shares_[thread].range = range_of(count * thread / threads, count * (thread + 1) / threads);
    }
  }

  /// A piece that no other call has returned or will return, for `thread` to work on; -1 when there
  /// is none left.
  std::int64_t take(int thread) {
    std::atomic<std::uint64_t>& own = shares_[thread].range;
    std::uint64_t range = own.load(std::memory_order_relaxed);
    while (left(range) > 0) {
      const std::uint64_t rest = range_of(begin(range) + 1, end(range));
      if (own.compare_exchange_weak(range, rest, std::memory_order_relaxed)) return begin(range);
    }
    return take_from_others();
  }

  /// The same for a thread without a share.
  std::int64_t take_from_others() {
    for (;;) {
      Share* richest = nullptr;
      std::uint64_t range = 0;
      for (Share& share : shares_) {
        const std::uint64_t seen = share.range.load(std::memory_order_relaxed);
        if (left(seen) > left(range)) {
          richest = &share;
          range = seen;
        }
      }
      if (richest == nullptr) return -1;
      const std::uint64_t rest = range_of(begin(range), end(range) - 1);
      if (richest->range.compare_exchange_strong(range, rest, std::memory_order_relaxed)) {
        return end(range) - 1;
      }
    }
  }

  /// Whether all pieces have been taken.
  bool is_empty() const {
    return std::all_of(shares_.begin(), shares_.end(), [](const Share& share) {
      return left(share.range.load(std::memory_order_relaxed)) == 0;
    });
  }

 private:
  // Begin and end in one word, so that owner and thief cannot take the same piece. Each share has a
  // cache line for itself.
  struct alignas(64) Share {
    std::atomic<std::uint64_t> range;
  };

  static std::uint64_t range_of(std::int64_t begin, std::int64_t end) {
    return static_cast<std::uint64_t>(begin) << 32 | static_cast<std::uint64_t>(end);
  }
  static std::int64_t begin(std::uint64_t range) { return static_cast<std::int64_t>(range >> 32); }
  static std::int64_t end(std::uint64_t range) {
    return static_cast<std::int64_t>(range & 0xffffffffu);
  }
  static std::int64_t left(std::uint64_t range) { return end(range) - begin(range); }

  std::vector<Share> shares_;
};

}  // namespace shardgrad
