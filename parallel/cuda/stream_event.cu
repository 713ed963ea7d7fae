#include "parallel/cuda/stream_event.h"
#include "tensor/cuda/launch.cuh"

namespace shardgrad::cuda {

void StreamEvent::record(int device) {
  use_device(device);
  if (device_ != device) {  // an event belongs to one device
    if (event_ != nullptr) destroy(event_);
    event_ = nullptr;
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
    event_ = event;
    device_ = device;
  }
  check(cudaEventRecord(static_cast<cudaEvent_t>(event_), stream()), "recording an event");
}

void StreamEvent::wait() const {
  if (event_ == nullptr) return;
  check(cudaStreamWaitEvent(stream(), static_cast<cudaEvent_t>(event_), 0),
        "waiting for another rank's event");
}

void StreamEvent::destroy(void* event) noexcept {
  cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

}  // namespace shardgrad::cuda
