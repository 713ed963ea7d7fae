// Streams: work in order, done at once or, in deferred mode, as late as CUDA's rules allow.
#pragma once

#include <functional>
#include <vector>

#include "simt/runtime_api.h"

namespace simt {

/// Runs `work` as the next work of `stream`, on the stream's device. In deferred mode it is queued,
/// and runs when the host thread waits for it. Work on a device with a sticky error is dropped.
void enqueue(cudaStream_t stream, std::function<void()> work);

/// Work that has to wait for other host threads, in a stream of `device`. It is called again and
/// again, with other streams' work in between, until it returns true.
struct Attempt {
  int device;
  cudaStream_t stream;
  std::function<bool()> attempt;
};
/// Queues all, each as the next work of its stream, before any is tried. Returns when all are done,
/// in deferred mode at once.
void enqueue_attempts(std::vector<Attempt> attempts);

/// cudaErrorInvalidResourceHandle, after a report, if the calling thread may not launch work of the
/// current device into `stream`. `who` begins the message.
cudaError_t check_stream(cudaStream_t stream, const char* who);

/// Waits for the stream, or for all streams of the calling thread. Returns the sticky error, if
/// any.
cudaError_t run_stream(cudaStream_t stream);
cudaError_t run_all_streams();

}  // namespace simt
