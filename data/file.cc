#include "data/file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr std::size_t kReadBytes = 1024 * 1024;

}  // namespace

std::string read_file(const std::string& path, std::int64_t most_bytes) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), "read_file", "cannot open {}: {}", path, std::strerror(errno));
  std::string bytes;
  while (file) {
    const std::size_t start = bytes.size();
    bytes.resize(start + kReadBytes);
    file.read(&bytes[start], static_cast<std::streamsize>(kReadBytes));
    bytes.resize(start + static_cast<std::size_t>(file.gcount()));
    require(!file.bad(), "read_file", "cannot read {}: {}", path, std::strerror(errno));
    require(static_cast<std::int64_t>(bytes.size()) <= most_bytes, "read_file",
            "{} has more than {} bytes; is it the right file?", path, most_bytes);
  }
  return bytes;
}

}  // namespace shardgrad
