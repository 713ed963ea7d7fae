// The streams of one host thread, and what is queued in them.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "simt/runtime_api.h"
#include "simt/src/device.h"
#include "simt/src/fiber.h"
#include "simt/src/schedule.h"

namespace simt {

using Clock = std::chrono::steady_clock;

/// One recording of an event. Waits refer to it, so that an event may be recorded again meanwhile.
struct Recording {
  std::atomic<bool> reached{false};
  Clock::time_point time;

  void reach() {
    time = Clock::now();
    order_release(this);
    reached = true;
  }
  bool done() {
    if (!reached) return false;
    order_acquire(this);
    return true;
  }
};

/// How far a stream has come.
struct Progress {
  uint64_t queued = 0;
  uint64_t done = 0;
};
/// The moment at which a stream has done its first `count` operations.
struct Moment {
  std::shared_ptr<Progress> progress;
  uint64_t count;

  bool reached() const { return progress->done >= count; }
};

struct Operation {
  std::function<void()> work;            // may be empty
  std::function<bool()> attempt;         // may be empty; false: not yet, to be tried again
  std::vector<Moment> after;             // the default stream's order with the others
  std::shared_ptr<Recording> awaited;    // by cudaStreamWaitEvent
  std::shared_ptr<Recording> recording;  // by cudaEventRecord

  bool can_run() const {
    return (awaited == nullptr || awaited->done()) &&
           std::all_of(after.begin(), after.end(), [](const Moment& m) { return m.reached(); });
  }
};

}  // namespace simt

struct CUstream_st {
  int device = 0;
  bool blocking = true;  // ordered with the default stream
  const void* owner = nullptr;
  std::shared_ptr<simt::Progress> progress = std::make_shared<simt::Progress>();
  std::deque<simt::Operation> operations;
};

struct CUevent_st {
  bool timed = true;
  std::shared_ptr<simt::Recording> recording;
};

namespace simt {

/// The streams of one host thread: it alone puts work into them and runs it.
class ThreadStreams {
 public:
  static ThreadStreams& of_this_thread();

  ThreadStreams();
  ~ThreadStreams();
  ThreadStreams(const ThreadStreams&) = delete;
  ThreadStreams& operator=(const ThreadStreams&) = delete;

  CUstream_st* create(int device, bool blocking);
  void destroy(CUstream_st* stream);
  /// Null for a handle that this thread did not create.
  CUstream_st* resolve(cudaStream_t handle);

  /// Queues the operation; unless the mode is deferred, runs it, too.
  void add(CUstream_st* stream, Operation operation);
  /// Queues the operation only.
  void push(CUstream_st* stream, Operation operation);

  bool idle() const { return queued_ == 0; }
  /// Runs what is queued, in a random order among the legal ones, until `finished`.
  void run_until(const std::function<bool()>& finished);
  void wait_for_other_thread(Recording& recording);

 private:
  bool is_default(const CUstream_st* stream) const { return stream == default_[stream->device]; }
  CUstream_st* built_in(CUstream_st* (&streams)[kMaxDevices]);
  CUstream_st* pick();
  void drop_all();

  std::vector<CUstream_st*> all_;
  CUstream_st* default_[kMaxDevices] = {};
  CUstream_st* per_thread_[kMaxDevices] = {};
  size_t queued_ = 0;
  Random random_;
};

/// The stream of the handle, or null, for the calling host thread.
CUstream_st* resolve(cudaStream_t handle);
/// Reports a stream that the calling host thread may not use.
cudaError_t unknown_stream(const char* who);
/// After a wait: looks at the red zones, and returns the sticky error, if any.
cudaError_t finish_wait();

}  // namespace simt
