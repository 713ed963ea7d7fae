#include "files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor/error.h"

namespace shardgrad {
namespace {

struct Descriptor {
  explicit Descriptor(int number) : number(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
  int number;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // Of a pipe, a plain open would wait for somebody to write.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  require(file.number >= 0, "MappedFile", "cannot open {}: {}", path, std::strerror(errno));
  struct stat status {};
  const bool known = fstat(file.number, &status) == 0;
  require(known, "MappedFile", "cannot look at {}: {}", path, std::strerror(errno));
  require(S_ISREG(status.st_mode), "MappedFile", "{} is no regular file; expected one", path);
  size_ = status.st_size;
  if (size_ == 0) return;
  const auto length = static_cast<std::size_t>(size_);
  void* data = mmap(nullptr, length, PROT_READ, MAP_SHARED, file.number, 0);
  require(data != MAP_FAILED, "MappedFile", "cannot map the {} bytes of {}: {}", size_, path,
          std::strerror(errno));
  data_ = std::shared_ptr<const void>(
      data, [length](const void* start) { munmap(const_cast<void*>(start), length); });
}

}  // namespace shardgrad
