// The thread that looks after a rank's links to NCCL.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace shardgrad::cuda {

class NcclLink;

/// Looks at a rank's links every few milliseconds, while the rank's own thread may be waiting for a
/// stream in which a kernel waits for a rank that is lost.
class NcclWatch {
 public:
  NcclWatch();
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;
  ~NcclWatch();

  void add(NcclLink* link);
  /// Returns when the link is not being looked at.
  void remove(NcclLink* link);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable stopped_changed_;
  bool stopped_ = false;
  std::vector<NcclLink*> links_;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace shardgrad::cuda
