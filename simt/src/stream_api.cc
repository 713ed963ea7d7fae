// Streams and events as programs see them.
#include "simt/src/error.h"
#include "simt/src/stream.h"
#include "simt/src/thread_streams.h"

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
    streams.run_until([&] { return recording->done(); });
  }
  return record(finish_wait());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->recording == nullptr || event->recording->done()) {
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
  if (!start->recording->done() || !stop->recording->done()) return record(cudaErrorNotReady);
  *milliseconds =
      std::chrono::duration<float, std::milli>(stop->recording->time - start->recording->time)
          .count();
  return cudaSuccess;
}

}  // extern "C"
