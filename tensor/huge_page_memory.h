// Memory of the host in huge pages.
#pragma once

#include <cstddef>
#include <map>

namespace shardgrad {

/// Blocks cut from regions of 64 MiB, or more for a larger block, that ask the system for huge
/// pages. A block with a mapping of its own would have none at its ends, or at all below 2 MiB; and
/// to find an address in a page of 4 KiB takes a virtual machine up to 24 reads of memory. Pages
/// that no block has touched are not there, so a region costs what lies in it. Not thread-safe.
class HugePageMemory {
 public:
  /// Bytes of a cache line, to which blocks are aligned.
  static constexpr std::size_t kAlignment = 64;

  HugePageMemory() = default;
  HugePageMemory(const HugePageMemory&) = delete;
  HugePageMemory& operator=(const HugePageMemory&) = delete;

  /// Gives all regions back to the system, with the blocks that are still taken.
  ~HugePageMemory();

  /// A block of at least `bytes` > 0, aligned to kAlignment: the first that fits. Null when the
  /// system has no memory left.
  void* take(std::size_t bytes);

  /// Whether `block` is one that take() returned and give_back() did not get.
  bool has_given(void* block) const { return taken_.count(static_cast<char*>(block)) != 0; }

  /// Makes a block of take() free, and gives a region without blocks back to the system.
  void give_back(void* block);

  /// The bytes of all regions.
  std::size_t mapped_bytes() const;

 private:
  using Pieces = std::map<char*, std::size_t>;  // where they begin -> their bytes

  bool map_region(std::size_t bytes);

  Pieces regions_, free_, taken_;
};

}  // namespace shardgrad
