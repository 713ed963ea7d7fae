#include "tensor/huge_page_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "tensor/round_up.h"

namespace shardgrad {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kRegion = std::size_t{64} << 20;

}  // namespace

HugePageMemory::~HugePageMemory() {
  for (const auto& [begin, bytes] : regions_) munmap(begin, bytes);
}

bool HugePageMemory::map_region(std::size_t bytes) {
  const std::size_t size = std::max(kRegion, round_up(bytes, kHugePage));
  if (size < bytes) return false;
  // The system aligns to pages of 4 KiB: what lies before and behind is given back.
  void* const mapping = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return false;
  char* const start = static_cast<char*>(mapping);
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  const std::size_t before = round_up(address, kHugePage) - address;
  if (before > 0) munmap(start, before);
  munmap(start + before + size, kHugePage - before);
  // Advice only: without huge pages a region works the same, but slower.
  madvise(start + before, size, MADV_HUGEPAGE);
  regions_[start + before] = size;
  free_[start + before] = size;
  return true;
}

void* HugePageMemory::take(std::size_t bytes) {
  const std::size_t size = round_up(bytes, kAlignment);
  if (size < bytes) return nullptr;
  const auto fits = [size](const auto& piece) { return piece.second >= size; };
  auto found = std::find_if(free_.begin(), free_.end(), fits);
  if (found == free_.end()) {
    if (!map_region(size)) return nullptr;
    found = std::find_if(free_.begin(), free_.end(), fits);
  }
  const auto [begin, left] = *found;
  free_.erase(found);
  if (left > size) free_[begin + size] = left - size;
  taken_[begin] = size;
  return begin;
}

void HugePageMemory::give_back(void* block) {
  const auto given = taken_.find(static_cast<char*>(block));
  char* begin = given->first;
  std::size_t bytes = given->second;
  taken_.erase(given);
  // Free neighbours become one piece, unless they are of two regions.
  const auto next = free_.find(begin + bytes);
  if (next != free_.end() && regions_.count(next->first) == 0) {
    bytes += next->second;
    free_.erase(next);
  }
  const auto behind = free_.lower_bound(begin);
  if (behind != free_.begin() && regions_.count(begin) == 0) {
    const auto previous = std::prev(behind);
    if (previous->first + previous->second == begin) {
      begin = previous->first;
      bytes += previous->second;
      free_.erase(previous);
    }
  }
  const auto region = regions_.find(begin);
  if (region != regions_.end() && region->second == bytes) {
    munmap(begin, bytes);
    regions_.erase(region);
  } else {
    free_[begin] = bytes;
  }
}

std::size_t HugePageMemory::mapped_bytes() const {
  std::size_t sum = 0;
  for (const auto& region : regions_) sum += region.second;
  return sum;
}

}  // namespace shardgrad
