// Which sanitizer this is compiled with, if any, and what AddressSanitizer is told about memory.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(SIMT_TSAN)
#define SIMT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(SIMT_TSAN)
#define SIMT_TSAN 1
#endif
#endif

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {

#if defined(SIMT_ASAN)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
#if defined(SIMT_TSAN)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

/// AddressSanitizer reports every access to the `bytes` from `from`, until they are unpoisoned.
inline void poison([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#if defined(SIMT_ASAN)
  ASAN_POISON_MEMORY_REGION(from, bytes);
#endif
}
inline void unpoison([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#if defined(SIMT_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(from, bytes);
#endif
}

}  // namespace simt
