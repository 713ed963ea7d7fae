// What libFuzzer calls, and what the replaying tests call instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// Parses `size` bytes, and returns 0. What is malformed has to end in a shardgrad::Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// The bytes as text.
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}
