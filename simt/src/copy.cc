// Memory as programs see it: allocation, copies and fills.
#include <cstring>
#include <memory>
#include <vector>

#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/launches.h"
#include "simt/src/memory.h"
#include "simt/src/stream.h"

namespace simt {
namespace {

enum class Place { Host, Pinned, Device };

Place place_of(const void* pointer) {
  if (in_device_arena(pointer)) return Place::Device;
  return is_pinned(pointer) ? Place::Pinned : Place::Host;
}
const char* text_of(Place place) { return place == Place::Device ? "device" : "host"; }

/// A rectangle of `height` rows of `width` bytes.
struct Copy {
  char* to;
  size_t to_pitch;
  const char* from;
  size_t from_pitch;
  size_t width;
  size_t height;

  size_t span(size_t pitch) const { return pitch * (height - 1) + width; }
  void run() const {
    const OpenMemory open;
    for (size_t row = 0; row < height; ++row) {
      std::memmove(to + row * to_pitch, from + row * from_pitch, width);
    }
  }
};

cudaError_t check_side(const char* who, const char* role, Place place, bool device_expected,
                       bool any, const void* pointer, size_t bytes) {
  if (!any && (place == Place::Device) != device_expected) {
    return misuse(cudaErrorInvalidValue, "%s: the %s (%p) is %s memory, the kind says %s", who,
                  role, pointer, text_of(place), device_expected ? "device" : "host");
  }
  if (place == Place::Device && !is_device_pointer(pointer, bytes)) {
    const Allocation allocation = find_allocation(pointer, 0);
    return misuse(cudaErrorInvalidValue,
                  "%s: the %s, %zu bytes from %p, leaves its allocation of %zu bytes", who, role,
                  bytes, pointer, allocation.bytes);
  }
  return cudaSuccess;
}

/// Host memory that is not pinned is read before an asynchronous call returns, and written before
/// it returns; only between pinned and device memory does a copy really go on alone.
cudaError_t copy_async(const Copy& copy, cudaMemcpyKind kind, cudaStream_t stream,
                       const char* who) {
  if (copy.width == 0 || copy.height == 0) return sticky_error(current_device());
  if (const cudaError_t sticky = sticky_error(current_device())) return record(sticky);
  const Place to = place_of(copy.to), from = place_of(copy.from);
  const bool any = kind == cudaMemcpyDefault;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (const cudaError_t error =
          check_side(who, "target", to, to_device, any, copy.to, copy.span(copy.to_pitch))) {
    return error;
  }
  if (const cudaError_t error = check_side(who, "source", from, from_device, any, copy.from,
                                           copy.span(copy.from_pitch))) {
    return error;
  }
  if (const cudaError_t error = check_stream(stream, who)) return error;
  if (config().deferred && from == Place::Host) {
    const size_t bytes = copy.span(copy.from_pitch);
    const auto staged = std::make_shared<std::vector<char>>(copy.from, copy.from + bytes);
    Copy late = copy;
    late.from = staged->data();
    enqueue(stream, [late, staged] { late.run(); });
  } else {
    enqueue(stream, [copy] { copy.run(); });
  }
  return record(to == Place::Host ? run_stream(stream) : sticky_error(current_device()));
}

Copy contiguous(void* to, const void* from, size_t bytes) {
  return {static_cast<char*>(to), bytes, static_cast<const char*>(from), bytes, bytes, 1};
}

cudaError_t fill_async(void* pointer, size_t pitch, int value, size_t width, size_t height,
                       cudaStream_t stream, const char* who) {
  if (width == 0 || height == 0) return sticky_error(current_device());
  if (const cudaError_t sticky = sticky_error(current_device())) return record(sticky);
  const size_t bytes = pitch * (height - 1) + width;
  if (!is_device_pointer(pointer, bytes)) {
    return misuse(cudaErrorInvalidValue,
                  "%s: %zu bytes from %p are not within one device allocation", who, bytes,
                  pointer);
  }
  if (const cudaError_t error = check_stream(stream, who)) return error;
  enqueue(stream, [=] {
    const OpenMemory open;
    for (size_t row = 0; row < height; ++row) {
      std::memset(static_cast<char*>(pointer) + row * pitch, value, width);
    }
  });
  return record(sticky_error(current_device()));
}

}  // namespace

cudaError_t allocate_device(void** pointer, size_t bytes) {
  *pointer = nullptr;
  if (const cudaError_t sticky = sticky_error(current_device())) return record(sticky);
  if (bytes == 0) return cudaSuccess;
  *pointer = allocate(bytes, current_device());
  return *pointer != nullptr ? cudaSuccess : record(cudaErrorMemoryAllocation);
}

cudaError_t allocate_pinned(void** pointer, size_t bytes) {
  *pointer = bytes == 0 ? nullptr : allocate_host(bytes);
  return *pointer != nullptr || bytes == 0 ? cudaSuccess : record(cudaErrorMemoryAllocation);
}

}  // namespace simt

using namespace simt;

extern "C" {

cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  run_all_streams();
  if (!release(pointer)) {
    return misuse(cudaErrorInvalidValue, "cudaFree(%p): not the start of a live allocation",
                  pointer);
  }
  return record(sticky_error(current_device()));
}

cudaError_t cudaFreeHost(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  run_all_streams();
  if (!release_host(pointer)) {
    return misuse(cudaErrorInvalidValue, "cudaFreeHost(%p): not allocated by cudaMallocHost",
                  pointer);
  }
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {cudaMemoryTypeUnregistered, current_device(), nullptr, nullptr};
  void* address = const_cast<void*>(pointer);
  const Allocation allocation = find_allocation(pointer, 1);
  if (allocation.start != nullptr) {
    *attributes = {cudaMemoryTypeDevice, allocation.device, address, nullptr};
  } else if (is_pinned(pointer)) {
    *attributes = {cudaMemoryTypeHost, current_device(), address, address};
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy_async(contiguous(to, from, bytes), kind, stream, "cudaMemcpyAsync");
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = copy_async(contiguous(to, from, bytes), kind, nullptr, "cudaMemcpy");
  return error != cudaSuccess ? error : record(run_stream(nullptr));
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) {
    return misuse(cudaErrorInvalidValue, "cudaMemcpy2D: a width of %zu exceeds a pitch", width);
  }
  return copy_async(
      {static_cast<char*>(to), to_pitch, static_cast<const char*>(from), from_pitch, width, height},
      kind, stream, "cudaMemcpy2D");
}

cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
  const cudaError_t error =
      cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, nullptr);
  return error != cudaSuccess ? error : record(run_stream(nullptr));
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                size_t bytes, cudaStream_t stream) {
  for (const auto& [pointer, device] : {std::pair<const void*, int>{to, to_device},
                                        std::pair<const void*, int>{from, from_device}}) {
    const Allocation allocation = find_allocation(pointer, bytes);
    if (bytes > 0 && (allocation.start == nullptr || allocation.device != device)) {
      return misuse(cudaErrorInvalidValue,
                    "cudaMemcpyPeerAsync: %zu bytes from %p are not in memory of device %d", bytes,
                    pointer, device);
    }
  }
  return copy_async(contiguous(to, from, bytes), cudaMemcpyDeviceToDevice, stream,
                    "cudaMemcpyPeerAsync");
}

cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  return fill_async(pointer, bytes, value, bytes, 1, stream, "cudaMemsetAsync");
}

cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  return fill_async(pointer, bytes, value, bytes, 1, nullptr, "cudaMemset");
}

cudaError_t cudaMemset2DAsync(void* pointer, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return fill_async(pointer, pitch, value, width, height, stream, "cudaMemset2DAsync");
}

cudaError_t simtCheckMemory() {
  check_all_red_zones(launched_kernels());
  return record(sticky_error(current_device()));
}

size_t simtLiveAllocations() { return live_allocations(); }

}  // extern "C"
