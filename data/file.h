// Whole files.
#pragma once

#include <cstdint>
#include <string>

namespace shardgrad {

/// The bytes of a file that is expected to be small. @throws Error when it cannot be read, or has
/// more than `most_bytes`.
std::string read_file(const std::string& path, std::int64_t most_bytes);

}  // namespace shardgrad
