#include "tensor/allocator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "tensor/tensor.h"

namespace shardgrad {
namespace {

bool is_aligned(const void* block, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

TEST(CachingAllocator, AFreedBlockServesTheNextRequestOfItsSize) {
  CachingAllocator allocator(host_memory());
  void* const first = allocator.allocate(1000);
  allocator.deallocate(first, 1000);
  void* const second = allocator.allocate(1000);
  EXPECT_EQ(second, first);
  EXPECT_EQ(allocator.stats().system_allocations, 1);
  allocator.deallocate(second, 1000);
}

TEST(CachingAllocator, LiveBlocksAreDistinct) {
  CachingAllocator allocator(host_memory());
  std::set<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.insert(allocator.allocate(256));
  EXPECT_EQ(blocks.size(), 100u);
  for (void* block : blocks) allocator.deallocate(block, 256);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(blocks.count(allocator.allocate(256)), 1u);
  EXPECT_EQ(allocator.stats().system_allocations, 100);
  for (void* block : blocks) allocator.deallocate(block, 256);
}

TEST(CachingAllocator, StatsFollowUse) {
  CachingAllocator allocator(host_memory());
  void* const small = allocator.allocate(4096);
  void* const large = allocator.allocate(8192);
  EXPECT_EQ(allocator.stats().bytes_in_use, 12288);
  EXPECT_EQ(allocator.stats().peak_bytes_in_use, 12288);
  EXPECT_EQ(allocator.stats().bytes_reserved, 12288);
  allocator.deallocate(large, 8192);
  EXPECT_EQ(allocator.stats().bytes_in_use, 4096);
  EXPECT_EQ(allocator.stats().peak_bytes_in_use, 12288);
  EXPECT_EQ(allocator.stats().bytes_reserved, 12288);
  allocator.reset_peak();
  EXPECT_EQ(allocator.stats().peak_bytes_in_use, 4096);
  allocator.release_cached_blocks();
  EXPECT_EQ(allocator.stats().bytes_reserved, 4096);
  allocator.deallocate(small, 4096);
}

TEST(CachingAllocator, RoundingWastesAtMostAnEighth) {
  for (std::size_t bytes : {513, 1000, 4097, 100001, 5000000, 50257 * 768 * 4}) {
    CachingAllocator allocator(host_memory());
    void* const block = allocator.allocate(bytes);
    const double reserved = static_cast<double>(allocator.stats().bytes_reserved);
    EXPECT_GE(reserved, static_cast<double>(bytes));
    EXPECT_LE(reserved,
              std::max(1.125 * static_cast<double>(bytes), static_cast<double>(bytes) + 64.0));
    allocator.deallocate(block, bytes);
  }
}

TEST(CachingAllocator, AlignsToCacheLinesAndHugePages) {
  CachingAllocator allocator(host_memory());
  for (std::size_t bytes : {0, 1, 63, 64, 65, 1000, 100000}) {
    void* const block = allocator.allocate(bytes);
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(is_aligned(block, 64)) << bytes;
    std::memset(block, 1, bytes);
    allocator.deallocate(block, bytes);
  }
  void* const huge = allocator.allocate(std::size_t{3} << 20);
  EXPECT_TRUE(is_aligned(huge, std::size_t{2} << 20));
  allocator.deallocate(huge, std::size_t{3} << 20);
}

TEST(CachingAllocator, PassThroughKeepsNothing) {
  CachingAllocator allocator(host_memory());
  allocator.deallocate(allocator.allocate(1024), 1024);
  EXPECT_EQ(allocator.stats().bytes_reserved, 1024);
  allocator.set_pass_through(true);
  EXPECT_EQ(allocator.stats().bytes_reserved, 0);
  allocator.deallocate(allocator.allocate(1024), 1024);
  allocator.deallocate(allocator.allocate(1024), 1024);
  EXPECT_EQ(allocator.stats().system_allocations, 3);
  EXPECT_EQ(allocator.stats().bytes_reserved, 0);
}

// Each thread stamps its blocks and looks whether anyone else wrote into them.
TEST(CachingAllocator, ConcurrentUse) {
  CachingAllocator allocator(host_memory());
  std::atomic<int> overwritten{0};
  const auto work = [&](unsigned char stamp) {
    for (int round = 0; round < 2000; ++round) {
      const std::size_t bytes = 64u * (1u + static_cast<unsigned>(round) % 7u);
      auto* const block = static_cast<unsigned char*>(allocator.allocate(bytes));
      std::memset(block, stamp, bytes);
      std::this_thread::yield();
      for (std::size_t i = 0; i < bytes; ++i) overwritten += block[i] != stamp;
      allocator.deallocate(block, bytes);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned char stamp = 1; stamp <= 4; ++stamp) threads.emplace_back(work, stamp);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(overwritten, 0);
  EXPECT_EQ(allocator.stats().bytes_in_use, 0);
  EXPECT_LE(allocator.stats().system_allocations, 4 * 7);
}

TEST(AllocatorFor, ARepeatedStepTakesNothingFromTheSystem) {
  const auto step = [] {
    const Tensor a = Tensor::zeros({300, 70});
    const Tensor b = a.transpose(0, 1).clone();
    const Tensor c = b.to(DType::Float64);
  };
  step();
  const std::int64_t before = allocator_for(Device{}).stats().system_allocations;
  for (int i = 0; i < 10; ++i) step();
  EXPECT_EQ(allocator_for(Device{}).stats().system_allocations, before);
}

TEST(AllocatorFor, TensorsReturnTheirMemory) {
  const std::int64_t before = allocator_for(Device{}).stats().bytes_in_use;
  {
    const Tensor tensor = Tensor::empty({1024});
    const Tensor view = tensor.slice(0, 0, 10);
    EXPECT_EQ(allocator_for(Device{}).stats().bytes_in_use, before + 4096);
  }
  EXPECT_EQ(allocator_for(Device{}).stats().bytes_in_use, before);
}

// Whatever two threads do at the same time, each finds its own blocks again.
TEST(AllocatorTest, ABlockReturnsToTheThreadThatAllocatedIt) {
  CachingAllocator allocator(host_memory());
  const std::thread::id main_thread = std::this_thread::get_id();
  void* mine = allocator.allocate(1000);
  std::thread([&] { allocator.deallocate(mine, 1000, main_thread); }).join();
  std::thread([&] {
    void* theirs = allocator.allocate(1000);
    EXPECT_NE(theirs, mine);
    allocator.deallocate(theirs, 1000);
    allocator.retire_thread();
  }).join();
  EXPECT_EQ(allocator.stats().system_allocations, 2);
  EXPECT_EQ(allocator.allocate(1000), mine);
  // What the thread that has ended left is there for all.
  void* inherited = allocator.allocate(1000);
  EXPECT_EQ(allocator.stats().system_allocations, 2);
  allocator.deallocate(mine, 1000);
  allocator.deallocate(inherited, 1000);
}

}  // namespace
}  // namespace shardgrad
