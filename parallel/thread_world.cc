#include "parallel/thread_world.h"

#include <algorithm>

#include "parallel/thread_group.h"
#include "tensor/error.h"

namespace shardgrad {

ThreadWorld::ThreadWorld(int size, bool polls) : polls_(polls), computing_(size), finished_(size) {}

void ThreadWorld::fail(int rank, const std::string& message) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failed_) return;
  try {
    failure_ = fmt::format("rank {} failed: {}", rank, message);
  } catch (...) {  // out of memory: the ranks are released all the same
    failure_.clear();
  }
  failed_ = true;
  notify_groups();
}

std::string ThreadWorld::failure() const {
  if (!failed_) return "";
  std::lock_guard<std::mutex> lock(mutex_);
  return failure_.empty() ? "a rank failed" : failure_;
}

void ThreadWorld::finish(int rank) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  finished_[rank] = true;
  notify_groups();
}

void ThreadWorld::add(const std::shared_ptr<ThreadGroup>& group) {
  std::lock_guard<std::mutex> lock(mutex_);
  groups_.erase(std::remove_if(groups_.begin(), groups_.end(),
                               [](const auto& other) { return other.expired(); }),
                groups_.end());
  groups_.push_back(group);
  group->on_world_change();
}

void ThreadWorld::throw_interruption(const char* where, int waiting_rank,
                                     const std::vector<int>& needed_ranks) const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (int rank : needed_ranks) {
    require(failed_ || !finished(rank), where, "rank {} has finished while rank {} waits in {}",
            rank, waiting_rank, where);
  }
  shardgrad::fail(where, "{}", failure_);
}

void ThreadWorld::notify_groups() {
  for (const auto& weak_group : groups_) {
    if (const auto group = weak_group.lock()) group->on_world_change();
  }
}

}  // namespace shardgrad
