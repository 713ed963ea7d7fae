// Host threads that help those which launch kernels.
#pragma once

#include <functional>

namespace simt {

/// Calls `work` on the calling thread, and on up to `helpers` threads of the pool if they are free,
/// at the same time. Returns when every call has returned. Several threads may call this at once.
void run_with_helpers(int helpers, const std::function<void()>& work);

/// SIMT_THREADS, or the number of this machine's processors.
int host_threads();

}  // namespace simt
