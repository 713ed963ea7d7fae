#include "simt/src/schedule.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace simt {

void Random::seed(uint64_t value) {
  state_ = value != 0 ? value : 1;
  for (int i = 0; i < 4; ++i) next();
}

Policy policy_of(uint64_t seed) {
  if (seed == 0) return Policy::InOrder;
  return seed % 2 == 0 ? Policy::WarpPriority : Policy::Uniform;
}

void Schedule::begin(int threads, Policy policy, uint64_t seed) {
  policy_ = policy;
  warp_ = 0;
  warps_ = 0;
  for (int warp = 0; warp < kMaxWarps; ++warp) {
    const int lanes = std::clamp(threads - warp * 32, 0, 32);
    ready_[warp] = 0;
    make_ready(warp, lanes == 32 ? ~0u : (1u << lanes) - 1);
  }
  if (policy == Policy::InOrder) return;
  random_.seed(seed);
  for (uint32_t& priority : priority_) priority = static_cast<uint32_t>(random_.next());
}

/// The lane of `warp` is random.
int Schedule::take_any_lane(int warp) {
  unsigned lanes = ready_[warp];
  const size_t skipped = random_.below(static_cast<size_t>(__builtin_popcount(lanes)));
  for (size_t i = 0; i < skipped; ++i) lanes &= lanes - 1;
  return take(warp, __builtin_ctz(lanes));
}

int Schedule::next_random() {
  if (warps_ == 0) return kNone;
  if (policy_ == Policy::WarpPriority) {
    if (random_.below(256) == 0) {
      priority_[random_.below(kMaxWarps)] = static_cast<uint32_t>(random_.next());
    }
    int best = __builtin_ctz(warps_);
    for (unsigned left = warps_; left != 0; left &= left - 1) {
      const int warp = __builtin_ctz(left);
      if (priority_[warp] < priority_[best]) best = warp;
    }
    return take_any_lane(best);
  }
  int count = 0;
  for (unsigned left = warps_; left != 0; left &= left - 1) {
    count += __builtin_popcount(ready_[__builtin_ctz(left)]);
  }
  int position = static_cast<int>(random_.below(static_cast<size_t>(count)));
  for (unsigned left = warps_;; left &= left - 1) {
    const int warp = __builtin_ctz(left);
    position -= __builtin_popcount(ready_[warp]);
    if (position < 0) return take_any_lane(warp);
  }
}

std::vector<uint32_t> permutation(uint32_t count, Random& random) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace simt
