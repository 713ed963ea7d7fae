// Reporting: what is printed, counted, and returned by the CUDA calls that follow.
#pragma once

#include "simt/runtime_api.h"
#include "simt/simt.h"

namespace simt {

/// Prints `text` (the first few), counts it, and makes it last_message().
void report(const std::string& text);

/// Reports a wrong call of the runtime. CUDA returns such an error once and goes on, so it does not
/// stick. Returns `error`, which becomes the calling thread's last error.
[[gnu::cold, gnu::format(printf, 2, 3)]] cudaError_t misuse(cudaError_t error, const char* format,
                                                            ...);

/// Makes `error` the calling thread's last error without a report, and returns it.
cudaError_t record(cudaError_t error);

/// fail() with another error than cudaErrorLaunchFailure to stick to the device.
[[gnu::cold, gnu::format(printf, 2, 3)]] void fail_with(cudaError_t error, const char* format, ...);

/// The error that a failed kernel left on the device, or cudaSuccess.
cudaError_t sticky_error(int device);

}  // namespace simt
