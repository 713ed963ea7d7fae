#include "simt/src/nccl_shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

namespace simt {
namespace {

constexpr char kFormat[] = "simt-memory-%d-%d-%llu";  // process, descriptor, key

// The bytes of the file that are locked: one for the memory, and one for each rank.
constexpr off_t kMemoryByte = 0;
off_t byte_of(int rank) { return 1 + rank; }

/// A lock of the open file, not of the process, of which several ranks may be threads.
struct flock lock_of(short type, off_t byte) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool is_memory_with(uint64_t key, int fd) {
  struct stat status = {};
  uint64_t found = 0;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
         pread(fd, &found, sizeof found, 0) == sizeof found && found == key;
}

bool grow(int fd, size_t bytes) {
  struct stat status = {};
  if (fstat(fd, &status) != 0) return false;
  const auto wanted = static_cast<off_t>(bytes);
  return status.st_size >= wanted || ftruncate(fd, wanted) == 0;
}

}  // namespace

int SharedMemory::make(std::string& id) {
  const int fd = memfd_create("simt-nccl", MFD_CLOEXEC);
  if (fd < 0) return -1;
  // A descriptor that is closed and used again does not have the same.
  const SharedMemoryStart start{
      static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count())};
  if (write(fd, &start, sizeof start) != sizeof start) {
    close(fd);
    return -1;
  }
  char text[100];
  std::snprintf(text, sizeof text, kFormat, static_cast<int>(getpid()), fd,
                static_cast<unsigned long long>(start.key));
  id = text;
  return fd;
}

bool SharedMemory::is_id(const std::string& id) {
  int process = 0, fd = 0;
  unsigned long long key = 0;
  return std::sscanf(id.c_str(), kFormat, &process, &fd, &key) == 3;
}

std::unique_ptr<SharedMemory> SharedMemory::open(const std::string& id, size_t bytes,
                                                 std::string& fault) {
  int process = 0, maker_fd = 0;
  unsigned long long key = 0;
  std::sscanf(id.c_str(), kFormat, &process, &maker_fd, &key);
  const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(maker_fd);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || !is_memory_with(key, fd)) {
    fault = fd < 0 && errno != ENOENT ? path + ": " + std::strerror(errno)
                                      : "an id that was used already, or whose maker has ended or "
                                        "is on another node";
    if (fd >= 0) close(fd);
    return nullptr;
  }
  struct flock lock = lock_of(F_WRLCK, kMemoryByte);
  while (fcntl(fd, F_OFD_SETLKW, &lock) != 0 && errno == EINTR) {
  }
  void* data = MAP_FAILED;
  if (grow(fd, bytes)) data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    fault = std::string("no memory that processes share: ") + std::strerror(errno);
    close(fd);
    return nullptr;
  }
  std::unique_ptr<SharedMemory> memory(new SharedMemory(fd, data, bytes));
  memory->unlock();
  return memory;
}

SharedMemory::~SharedMemory() {
  munmap(data_, bytes_);
  close(fd_);
}

void SharedMemory::lock() {
  struct flock lock = lock_of(F_WRLCK, kMemoryByte);
  while (fcntl(fd_, F_OFD_SETLKW, &lock) != 0 && errno == EINTR) {
  }
}

void SharedMemory::unlock() {
  struct flock lock = lock_of(F_UNLCK, kMemoryByte);
  fcntl(fd_, F_OFD_SETLK, &lock);
}

void SharedMemory::show(int rank) {
  struct flock lock = lock_of(F_WRLCK, byte_of(rank));
  fcntl(fd_, F_OFD_SETLK, &lock);
}

bool SharedMemory::shows(int rank) const {
  struct flock lock = lock_of(F_WRLCK, byte_of(rank));
  return fcntl(fd_, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

}  // namespace simt
