#include <algorithm>
#include <chrono>

#include "parallel/cuda/nccl_link.cuh"
#include "parallel/cuda/nccl_watch.cuh"

namespace shardgrad::cuda {

// Soon enough for whoever waits for a failed run, and no load on the processor.
static constexpr std::chrono::milliseconds kInterval{20};

NcclWatch::NcclWatch() : thread_([this] { run(); }) {}

NcclWatch::~NcclWatch() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  stopped_changed_.notify_all();
  thread_.join();
}

void NcclWatch::add(NcclLink* link) {
  std::lock_guard<std::mutex> lock(mutex_);
  links_.push_back(link);
}

void NcclWatch::remove(NcclLink* link) {
  std::lock_guard<std::mutex> lock(mutex_);
  links_.erase(std::remove(links_.begin(), links_.end(), link), links_.end());
}

void NcclWatch::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopped_changed_.wait_for(lock, kInterval, [this] { return stopped_; })) {
    for (NcclLink* link : links_) link->look();
  }
}

}  // namespace shardgrad::cuda
