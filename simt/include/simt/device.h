// What the code of a kernel calls: the engine's side of barriers and warp operations.
#pragma once

#include <cstdint>

#include "simt/simt.h"
#include "simt/types.h"

// Parameters that receive the place of the call. A barrier is known by its file and line.
#define SIMT_PLACE const char *file_ = __builtin_FILE(), int line_ = __builtin_LINE()
// The one instruction of a whole warp: reading what the other lanes brought is no race between them.
#define SIMT_WARP_WIDE __attribute__((no_sanitize("thread", "address")))

namespace simt {

enum class WarpOperation { Sync, Shuffle, ShuffleXor, ShuffleDown, ShuffleUp, Reduce, Load, Mma };
enum class BarrierKind { Plain, Count, And, Or };

/// Carries out a warp operation. `payload[lane]` is what the lane passed, for the lanes in `present`.
using WarpFunction = void (*)(void* const payload[32], unsigned present);

/// Waits until all lanes of `mask` are here; the last to arrive runs `function` for all.
void warp_operation(unsigned mask, WarpOperation operation, void* payload, WarpFunction function,
                    const char* file, int line);
/// __syncthreads() and its variants: the count of the threads whose `predicate` is not zero, or
/// whether it is so for all (And) or any (Or).
int block_barrier(BarrierKind kind, int predicate, const char* file, int line);
/// The dynamic shared memory of the running block.
void* dynamic_shared_memory();
/// A point where a random schedule may go on with another thread.
void preempt();
unsigned active_mask();
int lane_id();

}  // namespace simt

inline void __syncthreads(SIMT_PLACE) {
  simt::block_barrier(simt::BarrierKind::Plain, 0, file_, line_);
}
inline int __syncthreads_count(int predicate, SIMT_PLACE) {
  return simt::block_barrier(simt::BarrierKind::Count, predicate, file_, line_);
}
inline int __syncthreads_and(int predicate, SIMT_PLACE) {
  return simt::block_barrier(simt::BarrierKind::And, predicate, file_, line_);
}
inline int __syncthreads_or(int predicate, SIMT_PLACE) {
  return simt::block_barrier(simt::BarrierKind::Or, predicate, file_, line_);
}
inline void __syncwarp(unsigned mask = ~0u, SIMT_PLACE) {
  simt::warp_operation(mask, simt::WarpOperation::Sync, nullptr, nullptr, file_, line_);
}
inline unsigned __activemask() { return simt::active_mask(); }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __threadfence(); }
inline void __threadfence_system() { __threadfence(); }
[[noreturn]] inline void __trap(SIMT_PLACE) {
  simt::fail("__trap() at %s:%d", file_, line_);
  __builtin_unreachable();
}
