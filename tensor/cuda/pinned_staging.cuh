// Pinned host memory through which a thread's host tensors go to the device.
#pragma once

#include <algorithm>
#include <cstring>

#include "tensor/cuda/launch.cuh"

namespace shardgrad::cuda {

/// A few pinned buffers used in turn: while the device fetches one, the host fills the next. A copy
/// from pageable memory would stop the host until the device has it; here the host only waits when
/// it is all of them ahead.
class PinnedStaging {
 public:
  PinnedStaging() = default;
  PinnedStaging(const PinnedStaging&) = delete;
  PinnedStaging& operator=(const PinnedStaging&) = delete;

  // Errors do not count here: at the end of the process the CUDA runtime may be gone before.
  ~PinnedStaging() {
    for (Buffer& buffer : buffers_) {
      if (buffer.memory == nullptr) continue;
      cudaEventSynchronize(buffer.fetched);
      cudaEventDestroy(buffer.fetched);
      cudaFreeHost(buffer.memory);
    }
  }

  /// Queues the copy in the calling thread's stream; `source` may be reused when it returns.
  /// @throws Failure.
  void copy_to_device(void* destination, const void* source, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes; done += kBufferBytes) {
      const std::size_t part = std::min(kBufferBytes, bytes - done);
      Buffer& buffer = buffers_[next_];
      next_ = (next_ + 1) % kBuffers;
      if (buffer.memory == nullptr) {
        check(cudaMallocHost(&buffer.memory, kBufferBytes), "allocating pinned memory");
        check(cudaEventCreateWithFlags(&buffer.fetched, cudaEventDisableTiming), "making an event");
      } else {
        check(cudaEventSynchronize(buffer.fetched), "waiting for a copy");
      }
      std::memcpy(buffer.memory, static_cast<const char*>(source) + done, part);
      check(cudaMemcpyAsync(static_cast<char*>(destination) + done, buffer.memory, part,
                            cudaMemcpyHostToDevice, stream()),
            "copying");
      check(cudaEventRecord(buffer.fetched, stream()), "recording an event");
    }
  }

 private:
  static constexpr int kBuffers = 4;
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

  struct Buffer {
    void* memory = nullptr;
    cudaEvent_t fetched = nullptr;
  };

  Buffer buffers_[kBuffers];
  int next_ = 0;
};

}  // namespace shardgrad::cuda
