// The checksum of TensorBoard's files.
#pragma once

#include <cstdint>
#include <string_view>

namespace shardgrad {

/// CRC-32C of `bytes`: the polynomial of Castagnoli, as in RFC 3720, section 12.1.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace shardgrad
