// What the code of a kernel calls: the engine's side of barriers and warp operations.
#pragma once

#include <cstdint>

#include "simt/simt.h"
#include "simt/types.h"

// Parameters that receive the place of the call. A barrier is known by its file and line.
#define SIMT_PLACE const char *file_ = __builtin_FILE(), int line_ = __builtin_LINE()
// The one instruction of a whole warp: reading what the other lanes brought is no race between
// them.
#define SIMT_WARP_WIDE __attribute__((no_sanitize("thread", "address")))

namespace simt {

enum class WarpOperation { Sync, Shuffle, ShuffleXor, ShuffleDown, ShuffleUp, Reduce, Load, Mma };
enum class BarrierKind { Plain, Count, And, Or };

/// Carries out a warp operation. `payload[lane]` is what the lane passed, for the lanes in
/// `present`.
using WarpFunction = void (*)(void* const payload[32], unsigned present);

/// Waits until all lanes of `mask` are here; the last to arrive runs `function` for all.
void warp_operation(unsigned mask, WarpOperation operation, void* payload, WarpFunction function,
                    const char* file, int line);
/// __syncthreads() and its variants: the count of the threads whose `predicate` is not zero, or
/// whether it is so for all (And) or any (Or).
int block_barrier(BarrierKind kind, int predicate, const char* file, int line);
/// The dynamic shared memory of the running block.
void* dyn_shared();
/// A point where a random schedule may go on with another thread.
void preempt();
unsigned active_mask();
int lane_id();

template <class T>
struct Identity {
  using Type = T;
};
/// A parameter that takes no part in the deduction of T: atomicAdd(&float_value, 1) is fine.
template <class T>
using Argument = typename Identity<T>::Type;

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

// --- Loads and stores with a cache hint
// -------------------------------------------------------------

namespace simt {
[[gnu::cold]] void report_misaligned(const void* pointer, size_t alignment, const char* file,
                                     int line);

/// Reports an access that a GPU refuses: `alignment` bytes at once from elsewhere than a multiple.
inline void check_aligned(const void* pointer, size_t alignment, SIMT_PLACE) {
  if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0) {
    report_misaligned(pointer, alignment, file_, line_);
  }
}
}  // namespace simt

#define SIMT_LOAD(NAME)                                  \
  template <class T>                                     \
  T NAME(const T* from, SIMT_PLACE) {                    \
    simt::check_aligned(from, alignof(T), file_, line_); \
    return *from;                                        \
  }
SIMT_LOAD(__ldg)
SIMT_LOAD(__ldcs)
SIMT_LOAD(__ldcg)
SIMT_LOAD(__ldca)
SIMT_LOAD(__ldcv)
SIMT_LOAD(__ldlu)
#undef SIMT_LOAD
#define SIMT_STORE(NAME)                                  \
  template <class T>                                      \
  void NAME(T* to, simt::Argument<T> value, SIMT_PLACE) { \
    simt::check_aligned(to, alignof(T), file_, line_);    \
    *to = value;                                          \
  }
SIMT_STORE(__stcs)
SIMT_STORE(__stcg)
SIMT_STORE(__stwb)
SIMT_STORE(__stwt)
#undef SIMT_STORE
