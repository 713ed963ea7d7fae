// Device memory: pages of one arena, with red zones round each allocation.
#pragma once

#include <cstddef>
#include <string>

namespace simt {

/// Where a pointer points.
struct Allocation {
  char* start = nullptr;  // null: not in a live device allocation
  size_t bytes = 0;
  int device = 0;
};
/// The live allocation that holds the `bytes` from `pointer`; its end counts as inside for 0 bytes.
Allocation find_allocation(const void* pointer, size_t bytes);

/// Why work on the current device cannot use the `bytes` from `pointer`, as the end of a sentence
/// about them; empty if it can.
std::string fault_of(const void* pointer, size_t bytes);

/// Null if no device has so much left.
void* allocate(size_t bytes, int device);
/// Returns false, after a report, if `pointer` is not the start of a live allocation.
bool release(void* pointer);
size_t allocated_bytes(int device);
size_t live_allocations();

/// Reports, and repairs, what was written into the red zones of the allocation at `start`. `who`
/// begins the message. Returns whether they were whole.
bool check_red_zones(const char* start, const std::string& who);
bool check_all_red_zones(const std::string& who);

/// Whether the address belongs to device memory, live or not. Safe in a signal handler.
bool in_device_arena(const void* pointer);

/// Device memory can be touched while one of these lives (it always can unless SIMT_PROTECT is
/// set).
class OpenMemory {
 public:
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};

/// Pinned host memory: ordinary memory whose range is remembered.
void* allocate_host(size_t bytes);
bool release_host(void* pointer);
bool is_pinned(const void* pointer);

}  // namespace simt
