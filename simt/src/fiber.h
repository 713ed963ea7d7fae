// Fibers: stacks of their own that one host thread switches between, a few nanoseconds a switch.
#pragma once

#include <cstddef>

#include "simt/sanitizers.h"

#if !defined(__x86_64__)
#include <ucontext.h>
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
  /// Sanitizers make frames larger, and write their reports on the stack that they find.
  static constexpr size_t stack_bytes = size_t{kAddressSanitizer || kThreadSanitizer ? 256 : 64}
                                        << 10;

  /// `number` only spreads the stacks over the cache's sets.
  explicit Fiber(size_t number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Makes the next switch to `context` call `entry` on an empty stack; it must never return.
  void prepare(void (*entry)());
  /// Whether the address is in the guard page: the stack has overflowed.
  bool overflows_at(const void* address) const;
  /// Where an empty stack begins, aligned as after a call.
  void* top() const;

  Context context;

 private:
  char* mapping_;
  size_t offset_;
};

#if defined(__x86_64__)
/// Saves where the calling function stands, exchanges the stacks, and goes on where the other left.
/// Inlined, so that no return address of the abandoned stack is predicted in vain; what a call does
/// not preserve is named as overwritten, and the compiler saves what it needs of it.
[[gnu::always_inline]] inline void switch_stacks(void** save, void* load) {
#if defined(__AVX512F__)
#define SIMT_VECTOR_REGISTERS                                                                   \
  "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",     \
      "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
      "k7",
#else
#define SIMT_VECTOR_REGISTERS
#endif
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"  // what lies below the stack pointer may be in use
      "push %%rbp\n\t"
      "lea 1f(%%rip), %%rax\n\t"
      "push %%rax\n\t"
      "mov %%rsp, (%%rdi)\n\t"
      "mov %%rsi, %%rsp\n\t"
      "pop %%rax\n\t"
      "pop %%rbp\n\t"
      "jmp *%%rax\n"
      "1:\n\t"
      "lea 128(%%rsp), %%rsp\n\t"
      : "+D"(save), "+S"(load)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15", SIMT_VECTOR_REGISTERS "cc", "memory");
#undef SIMT_VECTOR_REGISTERS
}
#endif

#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
// What the sanitizers are told before and after a switch. The first returns what the second is
// given.
void* announce_switch(Context& to, bool leaving_for_good);
void announce_arrival(void* announced);
#else
inline void* announce_switch(Context&, bool) { return nullptr; }
inline void announce_arrival(void*) {}
#endif

/// Leaves `from` and goes on in `to`. A fiber that will not be returned to passes
/// `leaving_for_good`.
[[gnu::always_inline]] inline void switch_context(Context& from, Context& to,
                                                  bool leaving_for_good) {
  void* announced = announce_switch(to, leaving_for_good);
#if defined(__x86_64__)
  switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.registers, &to.registers);
#endif
  announce_arrival(announced);
}

/// To be called first by a fiber's entry: learns the host thread's stack.
void fiber_entered(Context& host);

#if defined(SIMT_TSAN)
/// The current fiber of ThreadSanitizer, which a host context must be given before a switch.
void* current_sanitizer_fiber();
// What ThreadSanitizer is told about the order that barriers bring.
void order_release(void* key);
void order_acquire(void* key);
#else
inline void* current_sanitizer_fiber() { return nullptr; }
inline void order_release(void*) {}
inline void order_acquire(void*) {}
#endif

}  // namespace simt
