#include "simt/src/error.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>

#include "simt/src/block.h"
#include "simt/src/device.h"
#include "simt/src/forever.h"
#include "simt/src/launches.h"

namespace simt {
namespace {

constexpr int kPrinted = 5;

struct Reports {
  std::mutex mutex;
  std::deque<std::string> messages;  // never shortened: cudaGetErrorString() hands out pointers
  size_t first = 0;                  // clear_errors() forgets those before
  struct Sticky {
    std::atomic<const char*> text{nullptr};
    std::atomic<cudaError_t> error{cudaSuccess};
  };
  std::array<Sticky, kMaxDevices> sticky;
  std::atomic<int> count{0};
};

Reports& reports() { return forever<Reports>(); }

struct ThreadErrors {
  cudaError_t last = cudaSuccess;
  cudaError_t detail_of = cudaSuccess;
  std::string detail;
};
thread_local ThreadErrors thread_errors;

std::string format_text(const char* format, va_list arguments) {
  char text[2048];
  std::vsnprintf(text, sizeof text, format, arguments);
  return text;
}

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
#define SIMT_ERROR(NAME, TEXT) \
  { NAME, #NAME, TEXT }
constexpr ErrorText kErrorTexts[] = {
    SIMT_ERROR(cudaSuccess, "no error"),
    SIMT_ERROR(cudaErrorInvalidValue, "invalid argument"),
    SIMT_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    SIMT_ERROR(cudaErrorInitializationError, "initialization error"),
    SIMT_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    SIMT_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    SIMT_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    SIMT_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    SIMT_ERROR(cudaErrorInsufficientDriver,
               "CUDA driver version is insufficient for CUDA runtime version"),
    SIMT_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    SIMT_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    SIMT_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    SIMT_ERROR(cudaErrorNotReady, "device not ready"),
    SIMT_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    SIMT_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    SIMT_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
    SIMT_ERROR(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled"),
    SIMT_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    SIMT_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    SIMT_ERROR(cudaErrorNotSupported, "operation not supported"),
    SIMT_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef SIMT_ERROR

const ErrorText* find_text(cudaError_t error) {
  for (const ErrorText& entry : kErrorTexts) {
    if (entry.error == error) return &entry;
  }
  return nullptr;
}

/// A program that has not looked at what was reported does not end as if all were well.
struct LastLook {
  ~LastLook() {
    check_memory_after_launches();
    const int count = error_count();
    if (count == 0) return;
    std::fprintf(stderr,
                 "simt: the program ends with %d errors reported, the last of which is: %s\n",
                 count, last_message().c_str());
    std::fflush(nullptr);
    _exit(1);
  }
};
const LastLook last_look;

}  // namespace

void report(const std::string& text) {
  Reports& all = reports();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.messages.push_back(text);
  const int before = all.count++;
  if (before < kPrinted) std::fprintf(stderr, "simt: %s\n", text.c_str());
  if (before == kPrinted) std::fprintf(stderr, "simt: (further errors are not printed)\n");
  if (config().abort_on_error) std::abort();
}

namespace {

/// A function of its own, so that no string is alive when fail() leaves the kernel's stack for
/// good.
[[gnu::noinline]] void report_failure(cudaError_t error, const char* format, va_list arguments) {
  const Place place = BlockEngine::place_of_this_thread();
  report((place.text[0] != '\0' ? place.text + std::string(": ") : "") +
         format_text(format, arguments));
  Reports& all = reports();
  const std::lock_guard<std::mutex> lock(all.mutex);
  Reports::Sticky& sticky = all.sticky[static_cast<size_t>(current_device())];
  if (sticky.error != cudaSuccess) return;
  sticky.text = all.messages.back().c_str();
  sticky.error = error;
}

}  // namespace

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  report_failure(cudaErrorLaunchFailure, format, arguments);
  va_end(arguments);
  BlockEngine::abandon_kernel_of_this_thread();
}

void fail_with(cudaError_t error, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  report_failure(error, format, arguments);
  va_end(arguments);
  BlockEngine::abandon_kernel_of_this_thread();
}

cudaError_t misuse(cudaError_t error, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = format_text(format, arguments);
  va_end(arguments);
  report(text);
  const ErrorText* entry = find_text(error);
  thread_errors.detail = (entry != nullptr ? std::string(entry->text) + ": " : "") + text;
  thread_errors.detail_of = error;
  return record(error);
}

cudaError_t record(cudaError_t error) {
  if (error != cudaSuccess) {
    thread_errors.last = error;
    if (thread_errors.detail_of != error) thread_errors.detail.clear();
  }
  return error;
}

cudaError_t sticky_error(int device) { return reports().sticky[static_cast<size_t>(device)].error; }

int error_count() { return reports().count; }

std::string last_message() {
  Reports& all = reports();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.first < all.messages.size() ? all.messages.back() : std::string();
}

void clear_errors() {
  Reports& all = reports();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.first = all.messages.size();
  all.count = 0;
  for (Reports::Sticky& sticky : all.sticky) sticky.error = cudaSuccess;
  thread_errors = ThreadErrors();
}

}  // namespace simt

extern "C" {

cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = simt::sticky_error(simt::current_device());
  return sticky != cudaSuccess ? sticky : simt::thread_errors.last;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  simt::thread_errors.last = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  const simt::ErrorText* entry = simt::find_text(error);
  return entry != nullptr ? entry->name : "unrecognized error code";
}

// Tells more than CUDA does: what simt found is the text of the error.
const char* cudaGetErrorString(cudaError_t error) {
  const auto& sticky = simt::reports().sticky[static_cast<size_t>(simt::current_device())];
  if (error != cudaSuccess && error == sticky.error) return sticky.text;
  if (error != cudaSuccess && error == simt::thread_errors.detail_of &&
      !simt::thread_errors.detail.empty()) {
    return simt::thread_errors.detail.c_str();
  }
  const simt::ErrorText* entry = simt::find_text(error);
  return entry != nullptr ? entry->text : "unrecognized error code";
}

}  // extern "C"
