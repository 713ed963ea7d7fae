#include "simt/src/schedule.h"

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
  head_ = ready_count_ = fresh_head_ = 0;
  fresh_.resize(static_cast<size_t>(threads));
  std::iota(fresh_.begin(), fresh_.end(), 0);
  if (policy == Policy::InOrder) return;
  random_.seed(seed);
  for (uint32_t& priority : priority_) priority = static_cast<uint32_t>(random_.next());
}

void Schedule::make_ready(int thread) { ready(ready_count_++) = thread; }

int Schedule::next() {
  const size_t fresh_count = fresh_.size() - fresh_head_;
  if (ready_count_ + fresh_count == 0) return kNone;
  switch (policy_) {
    case Policy::InOrder: {
      if (fresh_count > 0) return fresh_[fresh_head_++];
      const int thread = ready(0);
      ++head_;
      --ready_count_;
      return thread;
    }
    case Policy::Uniform: {
      const size_t position = random_.below(ready_count_ + fresh_count);
      return position < ready_count_ ? take_ready(position) : take_fresh(position - ready_count_);
    }
    case Policy::WarpPriority:
      return next_by_priority();
  }
  return kNone;
}

int Schedule::take_ready(size_t position) {
  std::swap(ready(position), ready(ready_count_ - 1));
  return ready(--ready_count_);
}

int Schedule::take_fresh(size_t position) {
  std::swap(fresh_[fresh_head_], fresh_[fresh_head_ + position]);
  return fresh_[fresh_head_++];
}

int Schedule::next_by_priority() {
  if (random_.below(256) == 0) priority_[random_.below(32)] = static_cast<uint32_t>(random_.next());
  bool take_fresh_one = false;
  size_t best_position = 0;
  uint64_t best = ~uint64_t{0};
  for (size_t i = 0; i < ready_count_; ++i) {
    const uint32_t priority = priority_[ready(i) / 32];
    if (priority <= best) {  // of a warp's woken threads the latest runs on
      best = priority;
      best_position = i;
    }
  }
  for (size_t i = 0; i < fresh_.size() - fresh_head_; ++i) {
    const uint32_t priority = priority_[fresh_[fresh_head_ + i] / 32];
    if (priority < best || (priority == best && take_fresh_one)) {
      best = priority;
      best_position = i;
      take_fresh_one = true;
    }
  }
  return take_fresh_one ? take_fresh(best_position) : take_ready(best_position);
}

std::vector<uint32_t> permutation(uint32_t count, Random& random) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace simt
