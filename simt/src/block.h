// One block of a launch: its threads are fibers of one host thread, which meet at barriers and warp
// operations.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "simt/device.h"
#include "simt/src/fiber.h"
#include "simt/src/schedule.h"

namespace simt {

/// "kernel NAME, block (x, y, z), thread (x, y, z)" inside a kernel, else empty. Takes no memory,
/// so that a sanitizer's report can name it.
struct Place {
  char text[512];
};

/// Runs blocks on the host thread that owns it, one at a time, each from start to end.
class BlockEngine {
 public:
  static BlockEngine& of_this_thread();
  static Place place_of_this_thread();
  /// Inside a kernel, ends the block where it stands and does not return. Else does nothing.
  static void abandon_kernel_of_this_thread();

  BlockEngine();
  ~BlockEngine();
  BlockEngine(const BlockEngine&) = delete;
  BlockEngine& operator=(const BlockEngine&) = delete;

  /// What is the same for all blocks of a launch.
  void begin_launch(const std::function<void()>& body, const std::string& kernel_name, dim3 grid,
                    dim3 block, size_t dynamic_shared_bytes, Policy policy);
  /// Returns whether the block ran to its end; if not, the reason was reported.
  bool run_block(uint3 index, uint64_t seed);

  bool in_kernel() const { return in_kernel_; }
  /// The running thread's stack if it has overflowed, which an access to `address` has shown, or
  /// null.
  const Fiber* overflown_stack(const void* address) const;
  uint64_t switches() const { return switches_; }
  void* dyn_shared() const { return dynamic_shared_; }
  int lane() const { return current_ % 32; }
  unsigned active_mask() const { return warps_[static_cast<size_t>(current_ / 32)].alive; }

  int barrier(BarrierKind kind, int predicate, const char* file, int line);
  void warp_operation(unsigned mask, WarpOperation operation, void* payload, WarpFunction function,
                      const char* file, int line);
  void preempt();

 private:
  enum class State : uint8_t { Fresh, Ready, AtBarrier, AtWarpOperation, Done };

  struct Thread {
    uint3 index;
    State state;
    Fiber* fiber;
    void* payload;  // of the warp operation it waits in
    const char* file;
    int line;
    int barrier_result;
  };
  /// Lanes of a warp on their way to one warp operation.
  struct Rendezvous {
    unsigned mask;
    unsigned arrived;
    WarpOperation operation;
    WarpFunction function;
    const char* file;
    int line;
    void* order;
  };
  struct Warp {
    unsigned alive;
    std::vector<Rendezvous> open;
    // For ThreadSanitizer, of the operations of which a lane is the first: how many there were, and
    // two keys used in turn, since a lane may come to the next before another has left the last.
    unsigned completed[32];
    char order[32][2];
  };

  static void fiber_main();
  Thread& thread(int number) { return threads_[static_cast<size_t>(number)]; }
  Fiber* take_fiber();
  void begin_block(uint3 index, uint64_t seed);
  void end_block();
  void finish_thread();
  void leave_warp(int number);
  void wait_here();
  void resume(Context& from, int number, bool leaving_for_good);
  void return_to_host(Context& from, bool leaving_for_good);
  void release_barrier_if_complete();
  void complete_if_all_here(size_t warp, size_t rendezvous);
  void report_deadlock();
  void recover();
  bool leaves_out(const char* file, int line);
  bool check_dynamic_shared();

  // The launch.
  const std::function<void()>* body_ = nullptr;
  const std::string* kernel_name_ = nullptr;
  Policy policy_ = Policy::InOrder;
  std::vector<char> shared_storage_;
  char* dynamic_shared_ = nullptr;
  size_t dynamic_shared_bytes_ = 0;
  std::string skipped_file_;  // of the barrier that is left out, if its line is not 0
  int skipped_line_ = 0;

  // The block.
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Schedule schedule_;
  int thread_count_ = 0;
  int alive_ = 0;
  int current_ = Schedule::kNone;
  bool in_kernel_ = false;
  bool abandoned_ = false;

  // The barrier that some threads have reached.
  int arrived_ = 0;
  int predicate_sum_ = 0;
  BarrierKind barrier_kind_ = BarrierKind::Plain;
  unsigned barriers_completed_ = 0;
  char barrier_order_[2];  // keys for ThreadSanitizer, used in turn
  char begun_;             // another
  const char* barrier_file_ = nullptr;
  int barrier_line_ = 0;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_fibers_;
  Context host_;
  Context left_;  // where a fiber that ends is saved, never to be resumed
  uint64_t switches_ = 0;
};

}  // namespace simt
