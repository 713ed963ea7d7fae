#include "simt/src/stream.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "simt/src/block.h"
#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/launches.h"

namespace simt {
namespace {

using Clock = std::chrono::steady_clock;

/// One recording of an event. Waits refer to it, so that an event may be recorded again meanwhile.
struct Recording {
  std::atomic<bool> done{false};
  Clock::time_point time;
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
  std::vector<Moment> after;             // the default stream's order with the others
  std::shared_ptr<Recording> awaited;    // by cudaStreamWaitEvent
  std::shared_ptr<Recording> recording;  // by cudaEventRecord

  bool can_run() const {
    return (awaited == nullptr || awaited->done) &&
           std::all_of(after.begin(), after.end(), [](const Moment& m) { return m.reached(); });
  }
};

}  // namespace
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
namespace {

/// The streams of one host thread: it alone puts work into them and runs it.
class ThreadStreams {
 public:
  static ThreadStreams& of_this_thread() {
    static thread_local ThreadStreams streams;
    return streams;
  }

  ThreadStreams() {
    BlockEngine::of_this_thread();  // made first, so that it outlives what still runs at the end
    random_.seed(config().seed + 1);
  }
  ~ThreadStreams() {
    run_until([this] { return idle(); });
    for (CUstream_st* stream : all_) delete stream;
  }

  CUstream_st* create(int device, bool blocking) {
    auto stream = std::make_unique<CUstream_st>();
    stream->device = device;
    stream->blocking = blocking;
    stream->owner = this;
    all_.push_back(stream.get());
    return stream.release();
  }
  void destroy(CUstream_st* stream) {
    all_.erase(std::remove(all_.begin(), all_.end(), stream), all_.end());
    delete stream;
  }
  /// Null for a handle that this thread did not create.
  CUstream_st* resolve(cudaStream_t handle) {
    if (handle == nullptr || handle == cudaStreamLegacy) return built_in(default_);
    if (handle == cudaStreamPerThread) return built_in(per_thread_);
    return std::find(all_.begin(), all_.end(), handle) != all_.end() ? handle : nullptr;
  }
  bool is_default(const CUstream_st* stream) const { return stream == default_[stream->device]; }

  void add(CUstream_st* stream, Operation operation) {
    if (!config().deferred) {
      if (!idle()) run_until([this] { return idle(); });
      if (operation.awaited != nullptr) wait_for_other_thread(*operation.awaited);
      run(*stream, operation);
      return;
    }
    if (is_default(stream)) {
      for (CUstream_st* other : all_) {
        if (other->blocking && other != stream && other->device == stream->device) {
          operation.after.push_back({other->progress, other->progress->queued});
        }
      }
    } else if (stream->blocking && default_[stream->device] != nullptr) {
      const auto& progress = default_[stream->device]->progress;
      operation.after.push_back({progress, progress->queued});
    }
    ++stream->progress->queued;
    ++queued_;
    stream->operations.push_back(std::move(operation));
  }

  bool idle() const { return queued_ == 0; }

  /// Runs what is queued, in a random order among the legal ones, until `finished`.
  template <class Finished>
  void run_until(Finished finished) {
    Clock::time_point deadline = Clock::time_point::max();
    while (!finished()) {
      CUstream_st* stream = pick();
      if (stream != nullptr) {
        Operation operation = std::move(stream->operations.front());
        stream->operations.pop_front();
        --queued_;
        run(*stream, operation);
        ++stream->progress->done;
        deadline = Clock::time_point::max();
        continue;
      }
      // All wait for events of other host threads.
      if (deadline == Clock::time_point::max()) deadline = after_timeout();
      if (idle() || Clock::now() > deadline) {
        fail("a stream waits for an event that is never reached");
        drop_all();
        return;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  void wait_for_other_thread(const Recording& recording) {
    const Clock::time_point deadline = after_timeout();
    while (!recording.done) {
      if (Clock::now() > deadline) {
        fail("a stream waits for an event that is never reached");
        return;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

 private:
  static Clock::time_point after_timeout() {
    return Clock::now() +
           std::chrono::milliseconds(static_cast<int64_t>(config().timeout_seconds * 1000));
  }

  CUstream_st* built_in(CUstream_st* (&streams)[kMaxDevices]) {
    CUstream_st*& stream = streams[current_device()];
    if (stream == nullptr) stream = create(current_device(), true);
    return stream;
  }

  static void run(const CUstream_st& stream, const Operation& operation) {
    const DeviceScope device(stream.device);
    if (operation.work && sticky_error(stream.device) == cudaSuccess) operation.work();
    if (operation.recording != nullptr) {
      operation.recording->time = Clock::now();
      operation.recording->done = true;
    }
  }

  CUstream_st* pick() {
    std::vector<CUstream_st*> candidates;
    for (CUstream_st* stream : all_) {
      if (!stream->operations.empty() && stream->operations.front().can_run()) {
        candidates.push_back(stream);
      }
    }
    return candidates.empty() ? nullptr : candidates[random_.below(candidates.size())];
  }

  void drop_all() {
    for (CUstream_st* stream : all_) {
      stream->progress->done = stream->progress->queued;
      stream->operations.clear();
    }
    queued_ = 0;
  }

  std::vector<CUstream_st*> all_;
  CUstream_st* default_[kMaxDevices] = {};
  CUstream_st* per_thread_[kMaxDevices] = {};
  size_t queued_ = 0;
  Random random_;
};

CUstream_st* resolve(cudaStream_t handle) {
  return ThreadStreams::of_this_thread().resolve(handle);
}

cudaError_t unknown_stream(const char* who) {
  return misuse(cudaErrorInvalidResourceHandle,
                "%s: a stream that another host thread created, or that was destroyed", who);
}

cudaError_t finish_wait() {
  check_memory_after_launches();
  return sticky_error(current_device());
}

}  // namespace

void enqueue(cudaStream_t stream, std::function<void()> work) {
  Operation operation;
  operation.work = std::move(work);
  ThreadStreams::of_this_thread().add(resolve(stream), std::move(operation));
}

int device_of(cudaStream_t stream) { return resolve(stream)->device; }

cudaError_t check_stream(cudaStream_t stream, const char* who) {
  const CUstream_st* known = resolve(stream);
  if (known == nullptr) return unknown_stream(who);
  if (known->device != current_device()) {
    return misuse(cudaErrorInvalidResourceHandle,
                  "%s: the stream belongs to device %d, the current device is %d", who,
                  known->device, current_device());
  }
  return cudaSuccess;
}

cudaError_t run_stream(cudaStream_t handle) {
  ThreadStreams& streams = ThreadStreams::of_this_thread();
  const CUstream_st* stream = streams.resolve(handle);
  if (stream == nullptr) return unknown_stream("cudaStreamSynchronize");
  const Moment end{stream->progress, stream->progress->queued};
  streams.run_until([&end] { return end.reached(); });
  return finish_wait();
}

cudaError_t run_all_streams() {
  ThreadStreams& streams = ThreadStreams::of_this_thread();
  streams.run_until([&streams] { return streams.idle(); });
  return finish_wait();
}

}  // namespace simt

using namespace simt;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const bool blocking = (flags & cudaStreamNonBlocking) == 0;
  *stream = ThreadStreams::of_this_thread().create(current_device(), blocking);
  return sticky_error(current_device());
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread ||
      resolve(stream) == nullptr) {
    return unknown_stream("cudaStreamDestroy");
  }
  const cudaError_t error = run_stream(stream);
  ThreadStreams::of_this_thread().destroy(stream);
  return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return record(run_stream(stream)); }

cudaError_t cudaDeviceSynchronize() { return record(run_all_streams()); }

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const CUstream_st* stream = resolve(handle);
  if (stream == nullptr) return unknown_stream("cudaStreamQuery");
  if (!stream->operations.empty()) {
    run_stream(handle);  // a program may poll until the work is done
    return cudaErrorNotReady;
  }
  return sticky_error(current_device());
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  CUstream_st* stream = resolve(handle);
  if (stream == nullptr) return unknown_stream("cudaStreamWaitEvent");
  if (event->recording == nullptr) return cudaSuccess;  // as on a GPU: nothing to wait for
  Operation operation;
  operation.awaited = event->recording;
  ThreadStreams::of_this_thread().add(stream, std::move(operation));
  return sticky_error(current_device());
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  CUstream_st* stream = resolve(handle);
  if (stream == nullptr) return unknown_stream("cudaEventRecord");
  event->recording = std::make_shared<Recording>();
  Operation operation;
  operation.recording = event->recording;
  ThreadStreams::of_this_thread().add(stream, std::move(operation));
  return sticky_error(current_device());
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::shared_ptr<Recording> recording = event->recording;
  ThreadStreams& streams = ThreadStreams::of_this_thread();
  if (recording != nullptr) {
    if (streams.idle()) streams.wait_for_other_thread(*recording);
    streams.run_until([&] { return recording->done.load(); });
  }
  return record(finish_wait());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->recording == nullptr || event->recording->done) {
    return sticky_error(current_device());
  }
  if (!ThreadStreams::of_this_thread().idle()) cudaEventSynchronize(event);
  return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  if (!start->timed || !stop->timed || start->recording == nullptr || stop->recording == nullptr) {
    return misuse(cudaErrorInvalidResourceHandle,
                  "cudaEventElapsedTime: both events must be recorded and keep the time");
  }
  if (!start->recording->done || !stop->recording->done) return record(cudaErrorNotReady);
  *milliseconds =
      std::chrono::duration<float, std::milli>(stop->recording->time - start->recording->time)
          .count();
  return cudaSuccess;
}

}  // extern "C"
