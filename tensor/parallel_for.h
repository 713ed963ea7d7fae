// Loops over the cores that belong to the calling rank.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace shardgrad {

/// Sets how many threads the kernels called from this thread may use. Each rank thread sets its
/// own share of the machine's cores; the number is a property of the thread, as in OpenMP.
inline void set_intra_op_threads(int threads) { omp_set_num_threads(threads); }

/// The number set for this thread.
inline int intra_op_threads() { return omp_get_max_threads(); }

/// Splits [0, count) into one contiguous range per thread and calls `body(begin, end)` on each.
/// Ranges of fewer than `grain` iterations are not worth a thread: the loop then uses fewer. The
/// split depends on count, grain and the number of threads only, so a run repeats bit for bit.
/// `body` must not throw.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  const std::int64_t useful = count / std::max<std::int64_t>(grain, 1);
  const int threads = static_cast<int>(
      std::clamp<std::int64_t>(useful, 1, omp_in_parallel() ? 1 : omp_get_max_threads()));
  if (threads == 1) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const std::int64_t rank = omp_get_thread_num();
    const std::int64_t ranks = omp_get_num_threads();
    const std::int64_t begin = count * rank / ranks;
    const std::int64_t end = count * (rank + 1) / ranks;
    if (begin < end) body(begin, end);
  }
}

}  // namespace shardgrad
