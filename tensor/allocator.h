// The caching allocator behind every tensor: blocks freed by one step serve the next, so that a
// training step after the first takes nothing from the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tensor/device.h"

namespace shardgrad {

/// What an allocator has done so far; bytes are of rounded block sizes.
struct AllocatorStats {
  std::int64_t bytes_in_use = 0;        ///< held by live tensors now
  std::int64_t peak_bytes_in_use = 0;   ///< the most ever held by live tensors at once
  std::int64_t bytes_reserved = 0;      ///< taken from the system and not given back
  std::int64_t system_allocations = 0;  ///< how many times the system was asked
};

/// Where an allocator gets its blocks from.
struct MemorySource {
  /// A block of that many bytes, or null when there is none left.
  std::function<void*(std::size_t)> take;
  std::function<void(void*)> give_back;
  /// Blocks are sized in multiples of this, and aligned to it.
  std::size_t granularity;
};

/// Host memory, aligned to a cache line; blocks of 128 KiB and more in huge pages where the system
/// has them.
MemorySource host_memory();

/// Memory of CUDA device `index`.
MemorySource cuda_memory(int index);

/// A thread-safe cache of memory blocks. A request is rounded up to one of eight sizes per
/// power of two (at most 12.5% waste), and a freed block waits in its size's list for the next
/// request of the thread that it was made for: were the lists common, how many blocks a step takes
/// would depend on how the ranks' threads happen to overlap. On a CUDA device it also makes reuse
/// safe without waiting: a thread's work runs in the order of its stream, so what still reads a
/// freed block comes before what overwrites it.
class CachingAllocator {
 public:
  explicit CachingAllocator(MemorySource source);
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;
  ~CachingAllocator();

  /// A block of at least `bytes` bytes, uninitialised. @throws Error when the system has none left.
  void* allocate(std::size_t bytes);

  /// Puts a block of allocate(bytes) back into the cache; `bytes` is the same number, `owner` the
  /// thread that allocated it.
  void deallocate(void* block, std::size_t bytes,
                  std::thread::id owner = std::this_thread::get_id());

  /// Makes the cached blocks of the calling thread, which is about to end, and those that will
  /// still come back to it, available to every thread. On a CUDA device the thread's work must be
  /// done.
  void retire_thread();

  /// Gives every cached (unused) block back to the system.
  void release_cached_blocks();

  /// With `enabled`, each request goes to the system at its exact size and each free back to it, so
  /// that memory checkers see every buffer's bounds. Set while no block is in use.
  void set_pass_through(bool enabled);

  AllocatorStats stats() const;

  /// Starts a new peak measurement from what is in use now.
  void reset_peak();

 private:
  using FreeBlocks = std::map<std::size_t, std::vector<void*>>;  // by rounded size

  std::size_t block_size(std::size_t bytes) const;
  void* take_from_source(std::size_t bytes);
  void* take_cached(FreeBlocks& blocks, std::size_t size);
  void release(FreeBlocks& blocks);
  void release_all();

  const MemorySource source_;
  mutable std::mutex mutex_;
  std::unordered_map<std::thread::id, FreeBlocks> free_by_thread_;
  FreeBlocks free_for_all_;  // of threads that have retired
  AllocatorStats stats_;
  bool pass_through_ = false;
};

/// The process's allocator for `device`: memory is a resource of the process, as with malloc.
/// @throws Error for a device that is not there, or that this program cannot drive.
CachingAllocator& allocator_for(const Device& device);

/// To be called by a thread that is about to end: waits for its CUDA work, and makes its cached
/// blocks available to the other threads, on every device.
void retire_thread();

}  // namespace shardgrad
