#include "simt/src/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(SIMT_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SIMT_TSAN)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace simt {
namespace {

constexpr size_t kGuardBytes = 4096;
#if defined(SIMT_TSAN)
constexpr unsigned kNoSynchronization = 1;
#endif

}  // namespace

Fiber::Fiber(size_t number) : offset_(number * 320 % 4096 / 16 * 16) {
  void* mapping = mmap(nullptr, stack_bytes + kGuardBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    std::perror("simt: no memory for a stack");
    std::abort();
  }
  mapping_ = static_cast<char*>(mapping);
  mprotect(mapping_, kGuardBytes, PROT_NONE);
  context.stack_bottom = mapping_ + kGuardBytes;
  context.stack_bytes = stack_bytes;
}

Fiber::~Fiber() {
#if defined(SIMT_TSAN)
  if (context.sanitizer_fiber != nullptr) __tsan_destroy_fiber(context.sanitizer_fiber);
#endif
  unpoison(context.stack_bottom, stack_bytes);
  munmap(mapping_, stack_bytes + kGuardBytes);
}

bool Fiber::overflows_at(const void* address) const {
  return address >= mapping_ && address < mapping_ + kGuardBytes;
}

void* Fiber::top() const {
  const char* end = mapping_ + kGuardBytes + stack_bytes - 64 - offset_;
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(end) & ~uintptr_t{15}) - 8);
}

void Fiber::prepare(void (*entry)()) {
#if defined(SIMT_TSAN)
  if (context.sanitizer_fiber != nullptr) __tsan_destroy_fiber(context.sanitizer_fiber);
  context.sanitizer_fiber = __tsan_create_fiber(0);
#endif
  unpoison(context.stack_bottom, stack_bytes);  // frames that were left for good still are
#if defined(__x86_64__)
  void** slot = static_cast<void**>(top());
  *slot = nullptr;    // the return address of entry
  *--slot = nullptr;  // its frame pointer
  *--slot = reinterpret_cast<void*>(entry);
  context.stack_pointer = slot;
#else
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = mapping_ + kGuardBytes;
  context.registers.uc_stack.ss_size = stack_bytes - offset_;
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, entry, 0);
#endif
}

#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
void* announce_switch(Context& to, [[maybe_unused]] bool leaving_for_good) {
  void* fake_stack = nullptr;
#if defined(SIMT_ASAN)
  __sanitizer_start_switch_fiber(leaving_for_good ? nullptr : &fake_stack, to.stack_bottom,
                                 to.stack_bytes);
#endif
#if defined(SIMT_TSAN)
  __tsan_switch_to_fiber(to.sanitizer_fiber, kNoSynchronization);
#endif
  return fake_stack;
}

void announce_arrival([[maybe_unused]] void* announced) {
#if defined(SIMT_ASAN)
  __sanitizer_finish_switch_fiber(announced, nullptr, nullptr);
#endif
}
#endif

void fiber_entered([[maybe_unused]] Context& host) {
#if defined(SIMT_ASAN)
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (host.stack_bottom == nullptr) {
    host.stack_bottom = bottom;
    host.stack_bytes = bytes;
  }
#endif
}

#if defined(SIMT_TSAN)
void* current_sanitizer_fiber() { return __tsan_get_current_fiber(); }
void order_release(void* key) { __tsan_release(key); }
void order_acquire(void* key) { __tsan_acquire(key); }
#endif

}  // namespace simt
