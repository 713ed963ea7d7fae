// The order in which the threads of a block run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simt {

/// xorshift: small, fast, and the same everywhere.
class Random {
 public:
  void seed(uint64_t value);
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t below(size_t limit) { return static_cast<size_t>(next() % limit); }

 private:
  uint64_t state_ = 88172645463325252ull;
};

/// In order: threads start in the order of their numbers, and those that waited go on in the order
/// in which they were woken. Uniform: any thread that can run may be next. WarpPriority: the
/// threads of one favoured warp run on for long stretches, and now and then another warp is
/// favoured, so that warps get far ahead of each other.
enum class Policy { InOrder, Uniform, WarpPriority };

/// The policy that a seed stands for: both random ones are needed, since each finds bugs that the
/// other does not.
Policy policy_of(uint64_t seed);

/// Which threads of a block can run, and which is next. A thread is in here at most once.
class Schedule {
 public:
  static constexpr int kNone = -1;

  /// All of `threads` threads are ready to start.
  void begin(int threads, Policy policy, uint64_t seed);
  void make_ready(int thread);
  /// Takes the thread to run next, or kNone.
  int next();
  bool random() const { return policy_ != Policy::InOrder; }

 private:
  static constexpr size_t kCapacity = 2048;  // a power of two above the threads of a block

  int take_ready(size_t position);
  int take_fresh(size_t position);
  int next_by_priority();
  int& ready(size_t position) { return ready_[(head_ + position) & (kCapacity - 1)]; }

  Policy policy_ = Policy::InOrder;
  Random random_;
  std::vector<int> ready_ = std::vector<int>(kCapacity);  // a ring: woken threads
  size_t head_ = 0;
  size_t ready_count_ = 0;
  std::vector<int> fresh_;  // threads that have not started
  size_t fresh_head_ = 0;
  uint32_t priority_[32] = {};  // of each warp, the lowest first
};

/// The numbers from 0 to count - 1 in a random order.
std::vector<uint32_t> permutation(uint32_t count, Random& random);

}  // namespace simt
