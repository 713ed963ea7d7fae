#include "simt/src/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "simt/sanitizers.h"
#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/forever.h"
#include "simt/src/launches.h"

namespace simt {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRedZone = 256;  // at least so much on either side; it is the alignment, too
// Red zones are full of one byte that makes a huge number in every type, so that what reads them is
// far from right; it changes from one allocation to the next, so that what copies them is found.
constexpr unsigned char kReds[] = {0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x7A, 0x79};
constexpr int kUnset = 0xFF;  // fresh and freed memory: NaN in every floating-point type
constexpr size_t kArenaBytes = size_t{1} << 38;  // of addresses, not of memory

struct Block {
  size_t bytes;
  int device;
  unsigned char red;
  char* pages;
  size_t page_bytes;

  char* start() const { return pages + kRedZone; }
  char* end() const { return start() + bytes; }
  char* pages_end() const { return pages + page_bytes; }
};

struct Arena {
  std::mutex mutex;
  char* base = nullptr;
  size_t used = 0;
  std::map<const char*, Block> live;        // by start
  std::multimap<size_t, char*> free_pages;  // by size
  size_t device_bytes[kMaxDevices] = {};
  size_t allocations = 0;                // so far
  int openings = 0;                      // live OpenMemory objects
  std::map<const char*, size_t> pinned;  // by start
};

Arena& arena() { return forever<Arena>(); }

/// The first byte of [from, to) that is not `red`, or `to`.
const char* first_not_red(const char* from, const char* to, unsigned char red) {
  if (*from == static_cast<char>(red) &&
      std::memcmp(from, from + 1, static_cast<size_t>(to - from) - 1) == 0) {
    return to;
  }
  return std::find_if(from, to, [red](char c) { return static_cast<unsigned char>(c) != red; });
}

/// Whoever touches freed memory is stopped at once, unless the kernel has no room for so many
/// pieces.
void close_freed(char* pages, size_t bytes) {
  if (kAddressSanitizer) {
    poison(pages, bytes);
  } else {
    mprotect(pages, bytes, PROT_NONE);
  }
}
void open_freed(char* pages, size_t bytes) {
  unpoison(pages, bytes);
  if (!kAddressSanitizer) mprotect(pages, bytes, PROT_READ | PROT_WRITE);
}

void fill_red_zones(const Block& block) {
  std::memset(block.pages, block.red, kRedZone);
  std::memset(block.end(), block.red, static_cast<size_t>(block.pages_end() - block.end()));
}

/// The caller holds the lock. With AddressSanitizer red zones are poisoned instead, and it names
/// the line of a bad access.
bool check_block(const Block& block, const std::string& who) {
  if (kAddressSanitizer) return true;
  const char* before = first_not_red(block.pages, block.start(), block.red);
  const char* after = first_not_red(block.end(), block.pages_end(), block.red);
  if (before == block.start() && after == block.pages_end()) return true;
  fill_red_zones(block);
  if (before != block.start()) {
    fail_with(cudaErrorIllegalAddress,
              "%swrote %zd bytes before a device allocation of %zu bytes (%p)", who.c_str(),
              block.start() - before, block.bytes, static_cast<const void*>(block.start()));
  } else {
    fail_with(cudaErrorIllegalAddress,
              "%swrote past a device allocation of %zu bytes (%p), first at byte +%zd", who.c_str(),
              block.bytes, static_cast<const void*>(block.start()), after - block.start());
  }
  return false;
}

/// The caller holds the lock. Takes the pages of a freed block, or new ones.
char* take_pages(Arena& all, size_t page_bytes) {
  const auto reusable = all.free_pages.find(page_bytes);
  if (reusable != all.free_pages.end()) {
    char* pages = reusable->second;
    all.free_pages.erase(reusable);
    open_freed(pages, page_bytes);
    if (static_cast<unsigned char>(pages[kRedZone]) != kUnset ||
        std::memcmp(pages + kRedZone, pages + kRedZone + 1, page_bytes - kRedZone - 1) != 0) {
      fail_with(cudaErrorIllegalAddress,
                "device memory of %zu bytes (%p) was written after it was freed", page_bytes,
                static_cast<void*>(pages + kRedZone));
    }
    return pages;
  }
  if (all.base == nullptr) {
    void* base =
        mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    all.base = static_cast<char*>(base);
  }
  if (all.used + page_bytes > kArenaBytes) return nullptr;
  char* pages = all.base + all.used;
  if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) return nullptr;
  all.used += page_bytes;
  return pages;
}

}  // namespace

void* allocate(size_t bytes, int device) {
  Arena& all = arena();
  const OpenMemory open;
  const std::lock_guard<std::mutex> lock(all.mutex);
  size_t& in_use = all.device_bytes[device];
  if (bytes > config().device_memory || in_use + bytes > config().device_memory) return nullptr;
  const size_t page_bytes = (kRedZone + bytes + kRedZone + kPage - 1) / kPage * kPage;
  char* pages = take_pages(all, page_bytes);
  if (pages == nullptr) return nullptr;
  const unsigned char red = kReds[all.allocations++ % sizeof kReds];
  const Block block{bytes, device, red, pages, page_bytes};
  fill_red_zones(block);
  std::memset(block.start(), kUnset, bytes);
  poison(block.pages, kRedZone);
  poison(block.end(), static_cast<size_t>(block.pages_end() - block.end()));
  in_use += bytes;
  all.live.emplace(block.start(), block);
  return block.start();
}

bool release(void* pointer) {
  Arena& all = arena();
  const OpenMemory open;
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.live.find(static_cast<char*>(pointer));
  if (found == all.live.end()) return false;
  const Block block = found->second;
  check_block(block, launched_kernels());
  all.live.erase(found);
  all.device_bytes[block.device] -= block.bytes;
  unpoison(block.pages, block.page_bytes);
  std::memset(block.pages, kUnset, block.page_bytes);
  close_freed(block.pages, block.page_bytes);
  all.free_pages.emplace(block.page_bytes, block.pages);
  return true;
}

Allocation find_allocation(const void* pointer, size_t bytes) {
  Arena& all = arena();
  const std::lock_guard<std::mutex> lock(all.mutex);
  const char* address = static_cast<const char*>(pointer);
  auto after = all.live.upper_bound(address);
  if (after == all.live.begin()) return {};
  const Block& block = std::prev(after)->second;
  if (address > block.end() || bytes > static_cast<size_t>(block.end() - address)) return {};
  return {block.start(), block.bytes, block.device};
}

std::string fault_of(const void* pointer, size_t bytes) {
  const Allocation allocation = find_allocation(pointer, 0);
  if (allocation.start == nullptr) {
    return in_device_arena(pointer) ? "is in device memory that is not allocated (freed already?)"
                                    : "is not in device memory: a host pointer?";
  }
  const size_t left =
      static_cast<size_t>(allocation.start + allocation.bytes - static_cast<const char*>(pointer));
  if (bytes > left) {
    return "takes " + std::to_string(bytes) + " bytes, which leave its allocation of " +
           std::to_string(allocation.bytes) + " bytes (" + std::to_string(left) + " from there on)";
  }
  if (!can_access(current_device(), allocation.device)) {
    return "is in memory of device " + std::to_string(allocation.device) + ", used on device " +
           std::to_string(current_device()) + " without peer access";
  }
  return "";
}

bool is_device_pointer(const void* pointer, size_t bytes) {
  return find_allocation(pointer, bytes).start != nullptr;
}

size_t allocated_bytes(int device) {
  Arena& all = arena();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.device_bytes[device];
}

size_t live_allocations() {
  Arena& all = arena();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.live.size();
}

bool check_red_zones(const char* start, const std::string& who) {
  Arena& all = arena();
  const OpenMemory open;
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.live.find(start);
  return found == all.live.end() || check_block(found->second, who);
}

bool check_all_red_zones(const std::string& who) {
  Arena& all = arena();
  const OpenMemory open;
  const std::lock_guard<std::mutex> lock(all.mutex);
  bool whole = true;
  for (const auto& entry : all.live) whole = check_block(entry.second, who) && whole;
  return whole;
}

bool in_device_arena(const void* pointer) {
  const Arena& all = arena();
  const char* address = static_cast<const char*>(pointer);
  return all.base != nullptr && address >= all.base && address < all.base + all.used;
}

OpenMemory::OpenMemory() {
  if (!config().protect) return;
  Arena& all = arena();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (all.openings++ == 0 && all.used > 0) mprotect(all.base, all.used, PROT_READ | PROT_WRITE);
}

OpenMemory::~OpenMemory() {
  if (!config().protect) return;
  Arena& all = arena();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (--all.openings == 0 && all.used > 0) mprotect(all.base, all.used, PROT_NONE);
}

void* allocate_host(size_t bytes) {
  char* memory = static_cast<char*>(std::aligned_alloc(kPage, (bytes / kPage + 1) * kPage));
  if (memory == nullptr) return nullptr;
  std::memset(memory, kUnset, bytes);
  const std::lock_guard<std::mutex> lock(arena().mutex);
  arena().pinned.emplace(memory, bytes);
  return memory;
}

bool release_host(void* pointer) {
  {
    const std::lock_guard<std::mutex> lock(arena().mutex);
    if (arena().pinned.erase(static_cast<char*>(pointer)) == 0) return false;
  }
  std::free(pointer);
  return true;
}

bool is_pinned(const void* pointer) {
  const std::lock_guard<std::mutex> lock(arena().mutex);
  const char* address = static_cast<const char*>(pointer);
  const auto after = arena().pinned.upper_bound(address);
  if (after == arena().pinned.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return address < start + bytes;
}

}  // namespace simt
