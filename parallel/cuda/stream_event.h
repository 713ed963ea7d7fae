// A mark in the work of one rank's stream, for which the streams of others can wait.
#pragma once

namespace shardgrad::cuda {

/// An event of the CUDA runtime, without its type. Recorded and waited for in the stream of the
/// calling thread; the host waits for nothing. Whoever records it and whoever waits for it are
/// ordered by the ranks' meetings, and nobody records it anew before all have made their waits.
///
/// Its functions but the constructor and the destructor need the CUDA backend (see
/// tensor/cuda/runtime.h).
class StreamEvent {
 public:
  StreamEvent() = default;
  StreamEvent(const StreamEvent&) = delete;
  StreamEvent& operator=(const StreamEvent&) = delete;
  ~StreamEvent() {
    if (event_ != nullptr) destroy(event_);
  }

  /// Marks the end of what the calling thread has queued on device `device`. @throws Failure.
  [[gnu::weak]] void record(int device);

  /// Makes what the calling thread queues from now on wait for the mark. @throws Failure.
  [[gnu::weak]] void wait() const;

 private:
  [[gnu::weak]] static void destroy(void* event) noexcept;

  void* event_ = nullptr;  // made by the first recording, on its device
  int device_ = -1;
};

}  // namespace shardgrad::cuda
