// Where the threads of a block wait for each other: barriers and warp operations.
#include <atomic>
#include <cstdio>
#include <cstring>

#include "simt/src/block.h"
#include "simt/src/error.h"

namespace simt {
namespace {

/// Header files have one name in each translation unit, though not at one address.
bool same_place(const char* file_a, int line_a, const char* file_b, int line_b) {
  return line_a == line_b && (file_a == file_b || std::strcmp(file_a, file_b) == 0);
}

/// Whether the path ends in `end`, as names of files and folders.
bool ends_in(const char* path, const std::string& end) {
  const size_t length = std::strlen(path);
  return length >= end.size() && end == path + (length - end.size()) &&
         (length == end.size() || path[length - end.size() - 1] == '/');
}

}  // namespace

/// Whether the barrier is the one that config().skip_barrier names. The first time, says so.
bool BlockEngine::leaves_out(const char* file, int line) {
  if (line != skipped_line_ || !ends_in(file, skipped_file_)) return false;
  static std::atomic<bool> said{false};
  if (!said.exchange(true)) {
    std::fprintf(stderr, "simt: leaves out the barrier at %s:%d (SIMT_SKIP_BARRIER)\n", file, line);
  }
  preempt();
  return true;
}

int BlockEngine::barrier(BarrierKind kind, int predicate, const char* file, int line) {
  if (skipped_line_ != 0 && leaves_out(file, line)) return predicate;
  const int me = current_;
  char* const order = &barrier_order_[barriers_completed_ % 2];
  order_release(order);
  if (arrived_++ == 0) {
    barrier_kind_ = kind;
    barrier_file_ = file;
    barrier_line_ = line;
  } else if (!same_place(file, line, barrier_file_, barrier_line_)) {
    fail("divergent __syncthreads: %d threads wait at %s:%d, this one is at %s:%d", arrived_ - 1,
         barrier_file_, barrier_line_, file, line);
  }
  if (alive_ < thread_count_) {
    fail("__syncthreads at %s:%d after %d of %d threads of the block have exited", file, line,
         thread_count_ - alive_, thread_count_);
  }
  predicate_sum_ += predicate != 0;
  Thread& self = thread(me);
  self.state = State::AtBarrier;
  self.file = file;
  self.line = line;
  release_barrier_if_complete();  // the last thread queues up too: no thread gains by being last
  wait_here();
  order_acquire(order);
  return self.barrier_result;
}

void BlockEngine::release_barrier_if_complete() {
  if (arrived_ < alive_) return;
  int result = predicate_sum_;
  if (barrier_kind_ == BarrierKind::And) result = predicate_sum_ == arrived_;
  if (barrier_kind_ == BarrierKind::Or) result = predicate_sum_ > 0;
  arrived_ = predicate_sum_ = 0;
  ++barriers_completed_;
  for (int i = 0; i < thread_count_; ++i) {
    Thread& t = thread(i);
    if (t.state != State::AtBarrier) continue;
    t.barrier_result = result;
    t.state = State::Ready;
    schedule_.make_ready(i / 32, 1u << i % 32);
  }
}

void BlockEngine::warp_operation(unsigned mask, WarpOperation operation, void* payload,
                                 WarpFunction function, const char* file, int line) {
  if (skipped_line_ != 0 && operation == WarpOperation::Sync && leaves_out(file, line)) return;
  const int me = current_;
  const int lane = me % 32;
  const size_t warp_number = static_cast<size_t>(me / 32);
  Warp& warp = warps_[warp_number];
  if ((mask >> lane & 1) == 0) {
    fail("lane %d calls a warp operation whose mask %08x leaves it out, at %s:%d", lane, mask, file,
         line);
  }
  const int lanes_of_warp = std::min(32, thread_count_ - static_cast<int>(warp_number) * 32);
  const unsigned exist = lanes_of_warp == 32 ? ~0u : (1u << lanes_of_warp) - 1;
  if ((mask & exist & ~warp.alive) != 0) {
    fail("lanes %08x of mask %08x have exited before the warp operation at %s:%d",
         mask & exist & ~warp.alive, mask, file, line);
  }
  size_t i = 0;
  while (i < warp.open.size() && warp.open[i].mask != mask) ++i;
  if (i == warp.open.size()) {
    for (const Rendezvous& other : warp.open) {
      if ((other.mask & mask) != 0) {
        fail("overlapping masks %08x and %08x, at %s:%d and %s:%d", other.mask, mask, other.file,
             other.line, file, line);
      }
    }
    const int first = __builtin_ctz(mask);
    char* const order = &warp.order[first][warp.completed[first] % 2];
    warp.open.push_back({mask, 0, operation, function, file, line, order});
  }
  Rendezvous& meeting = warp.open[i];
  if (meeting.operation != operation || !same_place(meeting.file, meeting.line, file, line)) {
    fail("lanes of one warp meet in different operations, at %s:%d and %s:%d", meeting.file,
         meeting.line, file, line);
  }
  void* const order =
      operation == WarpOperation::Sync || config().shuffles_order_memory ? meeting.order : nullptr;
  if (order != nullptr) order_release(order);
  meeting.arrived |= 1u << lane;
  Thread& self = thread(me);
  self.state = State::AtWarpOperation;
  self.payload = payload;
  self.file = file;
  self.line = line;
  complete_if_all_here(warp_number, i);
  if (self.state == State::Ready) {
    preempt();
  } else {
    wait_here();
    self.state = State::Ready;
  }
  if (order != nullptr) order_acquire(order);
}

/// Carries the operation out if no lane is missing. The current thread, if it is one of the lanes,
/// goes on at once; the others are woken.
void BlockEngine::complete_if_all_here(size_t warp_number, size_t rendezvous) {
  Warp& warp = warps_[warp_number];
  const Rendezvous meeting = warp.open[rendezvous];
  const unsigned needed = meeting.mask & warp.alive;
  if ((meeting.arrived & needed) != needed) return;
  warp.open[rendezvous] = warp.open.back();
  warp.open.pop_back();
  ++warp.completed[__builtin_ctz(meeting.mask)];
  const int first = static_cast<int>(warp_number) * 32;
  if (meeting.function != nullptr) {
    void* payload[32] = {};
    for (unsigned left = meeting.arrived; left != 0; left &= left - 1) {
      const int lane = __builtin_ctz(left);
      payload[lane] = thread(first + lane).payload;
    }
    meeting.function(payload, meeting.arrived);
  }
  for (unsigned left = meeting.arrived; left != 0; left &= left - 1) {
    const int number = first + __builtin_ctz(left);
    thread(number).state = State::Ready;
    if (number != current_) schedule_.make_ready(number / 32, 1u << number % 32);
  }
}

/// The thread `number` has ended: no warp operation may still want it.
void BlockEngine::leave_warp(int number) {
  const int lane = number % 32;
  Warp& warp = warps_[static_cast<size_t>(number / 32)];
  warp.alive &= ~(1u << lane);
  for (const Rendezvous& meeting : warp.open) {
    if ((meeting.mask >> lane & 1) != 0) {
      fail("lane %d exits while lanes %08x wait for it in a warp operation at %s:%d", lane,
           meeting.arrived, meeting.file, meeting.line);
    }
  }
}

// --- What kernels call
// -------------------------------------------------------------------------------

int block_barrier(BarrierKind kind, int predicate, const char* file, int line) {
  return BlockEngine::of_this_thread().barrier(kind, predicate, file, line);
}

void warp_operation(unsigned mask, WarpOperation operation, void* payload, WarpFunction function,
                    const char* file, int line) {
  BlockEngine::of_this_thread().warp_operation(mask, operation, payload, function, file, line);
}

void report_misaligned(const void* pointer, size_t alignment, const char* file, int line) {
  fail_with(cudaErrorMisalignedAddress,
            "%zu bytes at once from %p, not a multiple of %zu, at %s:%d", alignment, pointer,
            alignment, file, line);
}

void* dyn_shared() { return BlockEngine::of_this_thread().dyn_shared(); }
void preempt() { BlockEngine::of_this_thread().preempt(); }
unsigned active_mask() { return BlockEngine::of_this_thread().active_mask(); }
int lane_id() { return BlockEngine::of_this_thread().lane(); }
uint64_t switch_count() { return BlockEngine::of_this_thread().switches(); }

}  // namespace simt
