#include "checkpoint/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

// The part of a call after which the system's reason is asked for; `reason` is an errno.
[[noreturn]] void fail_to(const char* what, const std::string& path, int reason) {
  fail(kName, "cannot {} {}: {}", what, path, std::strerror(reason));
}

}  // namespace

OutputFile OutputFile::create(const std::string& path, std::int64_t bytes) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_to("make", path, errno);
  OutputFile file(path, descriptor);
  // Says now, not in the middle of writing, that the disk is full; in file systems that cannot
  // reserve room, the C library writes zeros.
  const int reason = bytes > 0 ? posix_fallocate(descriptor, 0, bytes) : 0;
  if (reason != 0)
    fail_to("reserve room for", fmt::format("the {} bytes of {}", bytes, path), reason);
  return file;
}

OutputFile OutputFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) fail_to("open", path, errno);
  return OutputFile(path, descriptor);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(other.descriptor_) {
  other.descriptor_ = -1;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void OutputFile::write_at(std::int64_t offset, const void* data, std::int64_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = pwrite(descriptor_, from, static_cast<std::size_t>(bytes), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_to("write", path_, written < 0 ? errno : EIO);
    from += written;
    offset += written;
    bytes -= written;
  }
}

void OutputFile::sync() {
  if (fsync(descriptor_) != 0) fail_to("write", path_, errno);
}

void write_file(const std::string& path, const std::string& text) {
  OutputFile file = OutputFile::create(path, static_cast<std::int64_t>(text.size()));
  file.write_at(0, text.data(), static_cast<std::int64_t>(text.size()));
  file.sync();
}

}  // namespace shardgrad
