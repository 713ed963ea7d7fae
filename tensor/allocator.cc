#include "tensor/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "tensor/cuda/runtime.h"
#include "tensor/huge_page_memory.h"
#include "tensor/round_up.h"

namespace shardgrad {
namespace {

// Eight classes per power of two, never finer than the granularity.
std::size_t round_to_class(std::size_t bytes, std::size_t granularity) {
  std::size_t power = granularity * 8;
  while (power < bytes) power *= 2;
  const std::size_t step = std::max(power / 16, granularity);
  return std::max(round_up(bytes, step), granularity);
}

}  // namespace

MemorySource host_memory() {
  // From here on malloc, too, would ask the system for each block.
  constexpr std::size_t kLeastInHugePages = std::size_t{128} << 10;
  const auto large = std::make_shared<HugePageMemory>();
  const auto take = [large](std::size_t bytes) -> void* {
    if (bytes >= kLeastInHugePages) return large->take(bytes);
    void* block = nullptr;
    return posix_memalign(&block, HugePageMemory::kAlignment, bytes) == 0 ? block : nullptr;
  };
  const auto give_back = [large](void* block) {
    large->has_given(block) ? large->give_back(block) : std::free(block);
  };
  return {take, give_back, HugePageMemory::kAlignment};
}

MemorySource cuda_memory(int index) {
  const auto take = [index](std::size_t bytes) {
    cuda::use_device(index);
    return cuda::allocate(bytes);
  };
  // Rows of any kernel may be read 16 bytes at a time from here, and 512 is what the driver gives.
  constexpr std::size_t kGranularity = 512;
  return {take, [](void* block) { cuda::deallocate(block); }, kGranularity};
}

CachingAllocator::CachingAllocator(MemorySource source) : source_(std::move(source)) {}

CachingAllocator::~CachingAllocator() { release_cached_blocks(); }

std::size_t CachingAllocator::block_size(std::size_t bytes) const {
  return pass_through_ ? std::max<std::size_t>(bytes, 1)
                       : round_to_class(bytes, source_.granularity);
}

// What is cached in other sizes may be what is missing.
void* CachingAllocator::take_from_source(std::size_t bytes) {
  void* block = source_.take(bytes);
  if (block != nullptr) return block;
  release_all();
  block = source_.take(bytes);
  require(block != nullptr, "allocator",
          "no {} bytes are left beside the {} in use; use a smaller batch, sequence or model, or "
          "more tensor parallel ranks",
          bytes, stats_.bytes_in_use);
  return block;
}

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
    block = take_from_source(size);
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
    source_.give_back(block);
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
      source_.give_back(block);
      stats_.bytes_reserved -= static_cast<std::int64_t>(size);
    }
    cached.clear();
  }
}

void CachingAllocator::release_all() {
  for (auto& [thread, blocks] : free_by_thread_) release(blocks);
  release(free_for_all_);
}

void CachingAllocator::release_cached_blocks() {
  std::lock_guard<std::mutex> lock(mutex_);
  release_all();
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

namespace {

// The allocators of the CUDA devices, made as they are asked for. Never destroyed, like the host's:
// a tensor with static lifetime may be freed after any destructor order.
struct CudaAllocators {
  std::mutex mutex;
  std::map<int, CachingAllocator> by_device;
};
CudaAllocators& cuda_allocators() {
  static CudaAllocators* const all = new CudaAllocators;
  return *all;
}

CachingAllocator& host_allocator() {
  static CachingAllocator* const host = new CachingAllocator(host_memory());
  return *host;
}

}  // namespace

CachingAllocator& allocator_for(const Device& device) {
  if (device.type == DeviceType::Cpu) return host_allocator();
  require_cuda("allocator_for");
  CudaAllocators& all = cuda_allocators();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.by_device.find(device.index);
  if (found != all.by_device.end()) return found->second;
  require(device.index >= 0 && device.index < cuda::device_count(), "allocator_for",
          "there is no {}; choose an index below {}", device.to_string(), cuda::device_count());
  return all.by_device.try_emplace(device.index, cuda_memory(device.index)).first->second;
}

void retire_thread() {
  host_allocator().retire_thread();
  std::vector<std::pair<int, CachingAllocator*>> devices;
  {
    CudaAllocators& all = cuda_allocators();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (auto& [index, allocator] : all.by_device) devices.emplace_back(index, &allocator);
  }
  // The lock is free again: the work may be waiting for that of a thread which is to allocate.
  for (const auto& [index, allocator] : devices) {
    try {
      cuda::use_device(index);
      cuda::synchronize();
    } catch (const Error&) {
      // The device has failed: the rank's own error says so, and its blocks will serve nobody.
      continue;
    }
    allocator->retire_thread();
  }
}

}  // namespace shardgrad
