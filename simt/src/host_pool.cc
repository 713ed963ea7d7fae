#include "simt/src/host_pool.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "simt/simt.h"
#include "simt/src/forever.h"

namespace simt {
namespace {

struct Job {
  const std::function<void()>* work;
  int wanted;   // helpers that may still join
  int running;  // helpers at work
};

class Pool {
 public:
  void run(int helpers, const std::function<void()>& work) {
    Job job{&work, helpers, 0};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      while (threads_ < helpers) {
        std::thread([this] { help(); }).detach();
        ++threads_;
      }
      jobs_.push_back(&job);
    }
    for (int i = 0; i < helpers; ++i) wake_.notify_one();
    work();
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.remove(&job);  // nobody needs to join any more
    finished_.wait(lock, [&job] { return job.running == 0; });
  }

 private:
  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return !jobs_.empty(); });
      Job& job = *jobs_.front();
      ++job.running;
      if (--job.wanted == 0) jobs_.pop_front();
      lock.unlock();
      (*job.work)();
      lock.lock();
      if (--job.running == 0) finished_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable finished_;
  std::list<Job*> jobs_;
  int threads_ = 0;
};

}  // namespace

void run_with_helpers(int helpers, const std::function<void()>& work) {
  if (helpers <= 0) {
    work();
    return;
  }
  forever<Pool>().run(helpers, work);
}

int host_threads() {
  if (config().threads > 0) return config().threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace simt
