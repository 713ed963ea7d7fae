// A large memcpy over the cores that belong to the calling rank.
#pragma once

#include <cstring>

#include "tensor/parallel_for.h"

namespace shardgrad {

/// Copies `bytes` bytes between buffers that do not overlap.
inline void parallel_copy(void* destination, const void* source, std::int64_t bytes) {
  constexpr std::int64_t kBytesPerThread = 256 * 1024;
  parallel_for(bytes, kBytesPerThread, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(destination) + begin, static_cast<const char*>(source) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

}  // namespace shardgrad
