// Loops over the cores that belong to the calling rank.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "tensor/open_jobs.h"
#include "tensor/work_shares.h"

namespace shardgrad {

/// Sets how many threads the kernels called from this thread may use. Each rank thread sets its
/// own share of the machine's cores; the number is a property of the thread, as in OpenMP.
inline void set_intra_op_threads(int threads) { omp_set_num_threads(threads); }

/// The number set for this thread.
inline int intra_op_threads() { return omp_get_max_threads(); }

/// Shares pieces 0 to count - 1 of a job out among the threads: calls `body(take)` at most once on
/// each, with a `const TakePieces& take`. For a job whose pieces use memory that a thread prepares
/// once. Threads of other ranks that have to wait may help (see OpenJobs), and then call it as
/// well. Who works on which piece depends on how fast the cores are; what is computed must not.
/// `body` must not throw.
template <class Body>
void parallel_pieces(std::int64_t count, const Body& body) {
  const bool is_nested = omp_in_parallel() != 0;
  const std::int64_t most = is_nested ? 1 : omp_get_max_threads();
  const int threads = static_cast<int>(std::clamp<std::int64_t>(count, 1, most));
  WorkShares shares(count, threads);
  std::optional<OpenJobs::Listing> listing;
  if (!is_nested && count > threads) listing.emplace(OpenJobs::of_process(), shares, body);
  if (threads == 1) {
    body(TakePieces(shares, 0));
    return;
  }
#pragma omp parallel num_threads(threads)
  body(TakePieces(shares, omp_get_thread_num()));
}

/// Splits [0, count) into contiguous ranges and calls `body(begin, end)` on each, in parallel.
/// Ranges of fewer than `grain` iterations are not worth a thread: the loop then uses fewer. The
/// split depends on count, grain and the number of threads only, so a run repeats bit for bit.
/// `body` must not throw.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  // Enough for a fast core to take over from a slow one, and few enough to stream memory.
  constexpr std::int64_t kRangesPerThread = 8;
  if (count <= 0) return;
  const std::int64_t threads = omp_in_parallel() ? 1 : omp_get_max_threads();
  const std::int64_t useful = std::max<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1);
  const std::int64_t ranges =
      std::min(useful, threads) * std::clamp<std::int64_t>(useful / threads, 1, kRangesPerThread);
  parallel_pieces(ranges, [&](const auto& take) {
    for (std::int64_t range = take(); range >= 0; range = take()) {
      body(count * range / ranges, count * (range + 1) / ranges);
    }
  });
}

}  // namespace shardgrad
