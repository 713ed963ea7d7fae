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

/// In order: a warp runs on while any of its threads can, the lowest lane first, then the next
/// warp. Uniform: any thread that can run may be next. WarpPriority: the threads of one favoured
/// warp run on for long stretches, and now and then another warp is favoured, so that warps get far
/// ahead of each other.
enum class Policy { InOrder, Uniform, WarpPriority };

/// The policy that a seed stands for: both random ones are needed, since each finds bugs that the
/// other does not.
Policy policy_of(uint64_t seed);

/// Which threads of a block can run, and which is next: a bit for each lane of each warp.
class Schedule {
 public:
  static constexpr int kNone = -1;
  static constexpr int kMaxWarps = 32;

  /// All of `threads` threads are ready to start.
  void begin(int threads, Policy policy, uint64_t seed);
  void make_ready(int warp, unsigned lanes) {
    ready_[warp] |= lanes;
    if (lanes != 0) warps_ |= 1u << warp;
  }
  /// Takes the thread to run next, or kNone.
  int next() {
    if (policy_ != Policy::InOrder) return next_random();
    if (ready_[warp_] == 0) {
      if (warps_ == 0) return kNone;
      const unsigned later = warps_ & ~((2u << warp_) - 1);
      warp_ = __builtin_ctz(later != 0 ? later : warps_);
    }
    return take(warp_, __builtin_ctz(ready_[warp_]));
  }
  bool random() const { return policy_ != Policy::InOrder; }

 private:
  int take(int warp, int lane) {
    ready_[warp] &= ~(1u << lane);
    if (ready_[warp] == 0) warps_ &= ~(1u << warp);
    return warp * 32 + lane;
  }
  int next_random();
  int take_any_lane(int warp);

  Policy policy_ = Policy::InOrder;
  int warp_ = 0;        // the warp that runs, in order
  unsigned warps_ = 0;  // those with a ready thread
  unsigned ready_[kMaxWarps] = {};
  uint32_t priority_[kMaxWarps] = {};  // of each warp, the lowest first
  Random random_;
};

/// The numbers from 0 to count - 1 in a random order.
std::vector<uint32_t> permutation(uint32_t count, Random& random);

}  // namespace simt
