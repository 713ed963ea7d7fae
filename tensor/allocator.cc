#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

namespace shardgrad {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Eight classes per power of two, never finer than a cache line.
std::size_t round_to_class(std::size_t bytes) {
  std::size_t power = kCacheLine * 8;
  while (power < bytes) power *= 2;
  const std::size_t step = std::max(power / 16, kCacheLine);
  return std::max((bytes + step - 1) / step * step, kCacheLine);
}

void* take_from_system(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes) != 0) block = nullptr;
  require(block != nullptr, "allocator",
          "the system has no {} bytes left; use a smaller batch, sequence or model, or more tensor "
          "parallel ranks",
          bytes);
  // Advice only: without huge pages the block works the same, with more page faults.
  if (alignment == kHugePage) madvise(block, bytes, MADV_HUGEPAGE);
  return block;
}

}  // namespace

std::size_t CachingAllocator::block_size(std::size_t bytes) const {
  return pass_through_ ? std::max<std::size_t>(bytes, 1) : round_to_class(bytes);
}

CachingAllocator::~CachingAllocator() { release_cached_blocks(); }

void* CachingAllocator::take_cached(FreeBlocks& blocks, std::size_t size) {
  const auto found = blocks.find(size);
  if (found == blocks.end() || found->second.empty()) return nullptr;
  void* block = found->second.back();
  found->second.pop_back();
  return block;
}

void* CachingAllocator::allocate(std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t size = block_size(bytes);
  void* block = take_cached(free_by_thread_[std::this_thread::get_id()], size);
  if (block == nullptr) block = take_cached(free_for_all_, size);
  if (block == nullptr) {
    block = take_from_system(size);
    stats_.bytes_reserved += static_cast<std::int64_t>(size);
    ++stats_.system_allocations;
  }
  stats_.bytes_in_use += static_cast<std::int64_t>(size);
  stats_.peak_bytes_in_use = std::max(stats_.peak_bytes_in_use, stats_.bytes_in_use);
  return block;
}

void CachingAllocator::deallocate(void* block, std::size_t bytes, std::thread::id owner) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t size = block_size(bytes);
  stats_.bytes_in_use -= static_cast<std::int64_t>(size);
  if (pass_through_) {
    std::free(block);
    stats_.bytes_reserved -= static_cast<std::int64_t>(size);
  } else {
    const auto own = free_by_thread_.find(owner);
    (own == free_by_thread_.end() ? free_for_all_ : own->second)[size].push_back(block);
  }
}

void CachingAllocator::retire_thread() {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto own = free_by_thread_.find(std::this_thread::get_id());
  if (own == free_by_thread_.end()) return;
  for (auto& [size, blocks] : own->second) {
    auto& all = free_for_all_[size];
    all.insert(all.end(), blocks.begin(), blocks.end());
  }
  free_by_thread_.erase(own);
}

void CachingAllocator::release(FreeBlocks& blocks) {
  for (auto& [size, cached] : blocks) {
    for (void* block : cached) {
      std::free(block);
      stats_.bytes_reserved -= static_cast<std::int64_t>(size);
    }
    cached.clear();
  }
}

void CachingAllocator::release_cached_blocks() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [thread, blocks] : free_by_thread_) release(blocks);
  release(free_for_all_);
}

void CachingAllocator::set_pass_through(bool enabled) {
  if (enabled) release_cached_blocks();
  std::lock_guard<std::mutex> lock(mutex_);
  pass_through_ = enabled;
}

AllocatorStats CachingAllocator::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.peak_bytes_in_use = stats_.bytes_in_use;
}

CachingAllocator& allocator_for(const Device& device) {
  require(device.type == DeviceType::Cpu, "allocator_for",
          "this build drives the cpu only, not {}; choose device cpu", device.to_string());
  // Never destroyed: a tensor with static lifetime may be freed after any destructor order.
  static CachingAllocator* const host = new CachingAllocator;
  return *host;
}

}  // namespace shardgrad
