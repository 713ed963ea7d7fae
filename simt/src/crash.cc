#include "simt/src/crash.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "simt/src/block.h"
#include "simt/src/error.h"
#include "simt/src/memory.h"

namespace simt {
namespace {

#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
constexpr bool kHandleSignals = false;
#else
constexpr bool kHandleSignals = true;
#endif
constexpr size_t kSignalStackBytes = size_t{64} << 10;

__thread void* bad_address = nullptr;
__thread bool misaligned = false;
__thread bool overflown = false;

/// Where a thread of a kernel goes on after a bad access, on its own stack.
[[noreturn]] void report_bad_access() {
  if (overflown) {
    fail("its stack of %zu bytes overflows: large local arrays, or recursion", Fiber::stack_bytes);
  } else if (misaligned) {
    fail_with(cudaErrorMisalignedAddress,
              "misaligned access: what is read or written at once must be aligned to its size");
  } else {
    const char* what = "";
    if (bad_address < reinterpret_cast<void*>(4096)) what = " (a null pointer)";
    if (in_device_arena(bad_address)) what = " in device memory that was freed";
    fail_with(cudaErrorIllegalAddress, "bad address %p%s", bad_address, what);
  }
  __builtin_unreachable();
}

void handle_signal(int signal, siginfo_t* info, [[maybe_unused]] void* context) {
#if defined(__x86_64__)
  if (BlockEngine::of_this_thread().in_kernel()) {
    bad_address = info->si_addr;
    // A general protection fault has no address. Vector instructions raise it when misaligned.
    misaligned = signal == SIGBUS || info->si_code == SI_KERNEL;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    // As if the access had been a call: below the red zone, aligned as after the call instruction.
    // From a stack that is full nothing is needed any more.
    const Fiber* const full = BlockEngine::of_this_thread().overflown_stack(info->si_addr);
    overflown = full != nullptr;
    registers[REG_RSP] = overflown ? reinterpret_cast<greg_t>(full->top())
                                   : ((registers[REG_RSP] - 256) & ~greg_t{15}) - 8;
    registers[REG_RIP] = reinterpret_cast<greg_t>(&report_bad_access);
    return;
  }
#endif
  char text[200];
  const int length = std::snprintf(
      text, sizeof text, "simt: host code touched %p%s\n", info->si_addr,
      in_device_arena(info->si_addr) ? ", which is device memory (use cudaMemcpy)" : "");
  if (write(2, text, static_cast<size_t>(length)) < 0) _exit(1);
  ::signal(signal, SIG_DFL);
  raise(signal);
}

struct Installer {
  Installer() {
    if (!kHandleSignals) return;
    struct sigaction action = {};
    action.sa_sigaction = handle_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
  }
};
const Installer installer;

struct SignalStack {
  SignalStack() {
    stack_t stack = {};
    stack.ss_sp = memory.get();
    stack.ss_size = kSignalStackBytes;
    sigaltstack(&stack, nullptr);
  }
  ~SignalStack() {
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  std::unique_ptr<char[]> memory = std::make_unique<char[]>(kSignalStackBytes);
};

/// Says which kernel a sanitizer's report is about.
[[maybe_unused]] void name_kernel(const char* tool) {
  const Place place = BlockEngine::place_of_this_thread();
  if (place.text[0] == '\0') return;
  char text[sizeof place.text + 100];
  const int length = std::snprintf(text, sizeof text, "simt: %s, found by %s\n", place.text, tool);
  if (write(2, text, static_cast<size_t>(length)) < 0) return;
}

}  // namespace

void prepare_thread_for_crashes() {
  if (!kHandleSignals) return;
  static thread_local SignalStack stack;
}

}  // namespace simt

// The sanitizers call these, by their names, before the report (after it, TSan).
#if defined(SIMT_ASAN)
extern "C" void __asan_on_error() { simt::name_kernel("AddressSanitizer"); }
extern "C" void __ubsan_on_report() { simt::name_kernel("UndefinedBehaviorSanitizer"); }
#endif
#if defined(SIMT_TSAN)
extern "C" void __tsan_on_report(void*) { simt::name_kernel("ThreadSanitizer"); }
#endif
