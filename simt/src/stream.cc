#include "simt/src/stream.h"

#include <thread>

#include "simt/src/block.h"
#include "simt/src/error.h"
#include "simt/src/launches.h"
#include "simt/src/thread_streams.h"

namespace simt {
namespace {

Clock::time_point after_timeout() {
  return Clock::now() +
         std::chrono::milliseconds(static_cast<int64_t>(config().timeout_seconds * 1000));
}

/// What waits for other host threads gives them way: briefly at first, since they may be about to
/// do it.
void pause(int times_before) {
  if (times_before < 100) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void run(const CUstream_st& stream, const Operation& operation) {
  const DeviceScope device(stream.device);
  if (operation.work && sticky_error(stream.device) == cudaSuccess) operation.work();
  if (operation.recording != nullptr) operation.recording->reach();
}

}  // namespace

ThreadStreams& ThreadStreams::of_this_thread() {
  static thread_local ThreadStreams streams;
  return streams;
}

ThreadStreams::ThreadStreams() {
  BlockEngine::of_this_thread();  // made first, so that it outlives what still runs at the end
  random_.seed(config().seed + 1);
}

ThreadStreams::~ThreadStreams() {
  run_until([this] { return idle(); });
  for (CUstream_st* stream : all_) delete stream;
}

CUstream_st* ThreadStreams::create(int device, bool blocking) {
  auto stream = std::make_unique<CUstream_st>();
  stream->device = device;
  stream->blocking = blocking;
  stream->owner = this;
  all_.push_back(stream.get());
  return stream.release();
}

void ThreadStreams::destroy(CUstream_st* stream) {
  all_.erase(std::remove(all_.begin(), all_.end(), stream), all_.end());
  delete stream;
}

CUstream_st* ThreadStreams::resolve(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return built_in(default_);
  if (handle == cudaStreamPerThread) return built_in(per_thread_);
  return std::find(all_.begin(), all_.end(), handle) != all_.end() ? handle : nullptr;
}

CUstream_st* ThreadStreams::built_in(CUstream_st* (&streams)[kMaxDevices]) {
  CUstream_st*& stream = streams[current_device()];
  if (stream == nullptr) stream = create(current_device(), true);
  return stream;
}

void ThreadStreams::add(CUstream_st* stream, Operation operation) {
  if (config().deferred) {
    push(stream, std::move(operation));
    return;
  }
  if (!idle()) run_until([this] { return idle(); });
  if (operation.awaited != nullptr) wait_for_other_thread(*operation.awaited);
  run(*stream, operation);
}

void ThreadStreams::push(CUstream_st* stream, Operation operation) {
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

void ThreadStreams::run_until(const std::function<bool()>& finished) {
  Clock::time_point deadline = Clock::time_point::max();
  int pauses = 0;
  while (!finished()) {
    const bool late = Clock::now() > deadline;  // an attempt that is late says so itself, below
    CUstream_st* stream = pick();
    if (stream != nullptr) {
      Operation operation = std::move(stream->operations.front());
      stream->operations.pop_front();
      --queued_;
      run(*stream, operation);
      ++stream->progress->done;
      deadline = Clock::time_point::max();
      pauses = 0;
      continue;
    }
    // All wait for other host threads.
    if (deadline == Clock::time_point::max()) deadline = after_timeout();
    if (idle() || late) {
      fail("a stream waits for an event that is never reached");
      drop_all();
      return;
    }
    pause(pauses++);
  }
}

void ThreadStreams::wait_for_other_thread(Recording& recording) {
  const Clock::time_point deadline = after_timeout();
  for (int pauses = 0; !recording.done(); ++pauses) {
    if (Clock::now() > deadline) {
      fail("a stream waits for an event that is never reached");
      return;
    }
    pause(pauses);
  }
}

/// A stream whose next operation can run, or has just been attempted with success; null if there is
/// none.
CUstream_st* ThreadStreams::pick() {
  std::vector<CUstream_st*> candidates;
  for (CUstream_st* stream : all_) {
    if (!stream->operations.empty() && stream->operations.front().can_run()) {
      candidates.push_back(stream);
    }
  }
  while (!candidates.empty()) {
    const size_t chosen = random_.below(candidates.size());
    CUstream_st* stream = candidates[chosen];
    const DeviceScope device(stream->device);
    const Operation& next = stream->operations.front();
    if (!next.attempt || next.attempt()) return stream;
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  return nullptr;
}

void ThreadStreams::drop_all() {
  for (CUstream_st* stream : all_) {
    stream->progress->done = stream->progress->queued;
    stream->operations.clear();
  }
  queued_ = 0;
}

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

void enqueue(cudaStream_t stream, std::function<void()> work) {
  Operation operation;
  operation.work = std::move(work);
  ThreadStreams::of_this_thread().add(resolve(stream), std::move(operation));
}

void enqueue_attempts(std::vector<Attempt> attempts) {
  ThreadStreams& streams = ThreadStreams::of_this_thread();
  for (Attempt& attempt : attempts) {
    const DeviceScope device(attempt.device);
    Operation operation;
    operation.attempt = std::move(attempt.attempt);
    streams.push(resolve(attempt.stream), std::move(operation));
  }
  if (!config().deferred) streams.run_until([&streams] { return streams.idle(); });
}

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
