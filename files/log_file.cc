#include "files/log_file.h"

#include <cerrno>
#include <cstring>

#include "tensor/error.h"

namespace shardgrad {

LogFile::LogFile(const std::string& path, const char* mode)
    : path_(path), file_(std::fopen(path.c_str(), mode)) {
  require(file_ != nullptr, "LogFile", "cannot write {}: {}", path, std::strerror(errno));
}

// The condition comes first: the order in which a call evaluates its arguments is unspecified, and
// `errno` would be read too early.
void LogFile::append(std::string_view bytes) {
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size() &&
                       std::fflush(file_.get()) == 0;
  require(written, "LogFile", "cannot write {}: {}", path_, std::strerror(errno));
}

}  // namespace shardgrad
