// Memory that the processes of a node share, and how they know of each other's end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace simt {

/// What begins the memory: other memory that has come to be where an id points does not have it.
struct SharedMemoryStart {
  uint64_t key;
};

/// Memory without a name: it goes when the last process that has it open ends, however that
/// happens, so that nothing is ever left behind. An object of this class is one rank's way to it.
///
/// What it locks are bytes of that file, for which the kernel needs no memory, and which it unlocks
/// when the process ends.
class SharedMemory {
 public:
  /// Makes one, of zeros, and returns a file descriptor, or -1. Other processes find it by `id`
  /// while the descriptor is open.
  static int make(std::string& id);
  /// Whether `id` is of that kind.
  static bool is_id(const std::string& id);
  /// Opens the memory, and makes it at least `bytes` large. Null, after `fault` is set, when there
  /// is none any more.
  static std::unique_ptr<SharedMemory> open(const std::string& id, size_t bytes,
                                            std::string& fault);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  /// Gives back the locks, too.
  ~SharedMemory();

  char* data() const { return static_cast<char*>(data_); }

  /// Keep other ranks out. One thread of the process at a time.
  void lock();
  void unlock();

  /// Shows the others that `rank` is here, until this object or the process ends.
  void show(int rank);
  /// Whether another process, or object, shows `rank`.
  bool shows(int rank) const;

 private:
  SharedMemory(int fd, void* data, size_t bytes) : fd_(fd), data_(data), bytes_(bytes) {}

  const int fd_;
  void* const data_;
  const size_t bytes_;
};

}  // namespace simt
