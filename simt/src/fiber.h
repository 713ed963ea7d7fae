// Fibers: stacks of their own that one host thread switches between, a few nanoseconds a switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SIMT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIMT_TSAN 1
#endif
#endif

namespace simt {

/// Where a fiber, or the host thread that runs them, was left.
struct Context {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t registers;
#endif
  const void* stack_bottom = nullptr;  // for AddressSanitizer
  size_t stack_bytes = 0;
  void* sanitizer_fiber = nullptr;  // for ThreadSanitizer
};

/// A stack with a guard page below it, and the context of what runs on it.
class Fiber {
 public:
  static constexpr size_t stack_bytes = size_t{64} << 10;

  /// `number` only spreads the stacks over the cache's sets.
  explicit Fiber(size_t number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Makes the next switch to `context` call `entry` on an empty stack; it must never return.
  void prepare(void (*entry)());

  Context context;

 private:
  char* mapping_;
  size_t offset_;
};

/// Leaves `from` and goes on in `to`. A fiber that will not be returned to passes
/// `leaving_for_good`.
void switch_context(Context& from, Context& to, bool leaving_for_good);

/// To be called first by a fiber's entry: learns the host thread's stack.
void fiber_entered(Context& host);

/// The current fiber of ThreadSanitizer, which a host context must be given before a switch.
void* current_sanitizer_fiber();

// What ThreadSanitizer is told about the order that barriers bring; nothing in other builds.
void order_release(void* key);
void order_acquire(void* key);

}  // namespace simt
