#include "simt/src/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "simt/src/crash.h"
#include "simt/src/error.h"

__thread uint3 threadIdx;
__thread uint3 blockIdx;
__thread simt::PlainDim3 blockDim;
__thread simt::PlainDim3 gridDim;

namespace simt {
namespace {

// A plain pointer: a thread_local object would cost a check at each use.
__thread BlockEngine* engine_of_this_thread = nullptr;

constexpr size_t kSharedAlignment = 256;
constexpr size_t kCanaryBytes = 256;
constexpr unsigned char kCanary = 0xC7;

// Each CUDA thread of a block is a fiber of its own to ThreadSanitizer, and stays so in the blocks
// that follow, since making one takes long. Otherwise a fiber that ends takes up the next thread.
constexpr bool kOwnFibers = kThreadSanitizer;

}  // namespace

BlockEngine& BlockEngine::of_this_thread() {
  if (engine_of_this_thread == nullptr) {
    static thread_local BlockEngine engine;
    engine_of_this_thread = &engine;
  }
  return *engine_of_this_thread;
}

BlockEngine::BlockEngine() { prepare_thread_for_crashes(); }

// At the end of the process reports can still come.
BlockEngine::~BlockEngine() { engine_of_this_thread = nullptr; }

Place BlockEngine::place_of_this_thread() {
  const BlockEngine* engine = engine_of_this_thread;
  Place place = {};
  if (engine == nullptr || !engine->in_kernel_) return place;
  const int length =
      std::snprintf(place.text, sizeof place.text, "kernel %.300s, block (%u, %u, %u)",
                    engine->kernel_name_->c_str(), blockIdx.x, blockIdx.y, blockIdx.z);
  if (engine->current_ < 0) return place;
  std::snprintf(place.text + length, sizeof place.text - static_cast<size_t>(length),
                ", thread (%u, %u, %u)", threadIdx.x, threadIdx.y, threadIdx.z);
  return place;
}

const Fiber* BlockEngine::overflown_stack(const void* address) const {
  if (!in_kernel_ || current_ < 0) return nullptr;
  const Fiber* fiber = threads_[static_cast<size_t>(current_)].fiber;
  return fiber->overflows_at(address) ? fiber : nullptr;
}

void BlockEngine::abandon_kernel_of_this_thread() {
  BlockEngine* engine = engine_of_this_thread;
  if (engine == nullptr || !engine->in_kernel_ || engine->current_ < 0) return;
  engine->abandoned_ = true;
  order_release(engine);
  engine->return_to_host(engine->left_, true);
}

void BlockEngine::begin_launch(const std::function<void()>& body, const std::string& kernel_name,
                               dim3 grid, dim3 block, size_t dynamic_shared_bytes, Policy policy) {
  body_ = &body;
  kernel_name_ = &kernel_name;
  policy_ = policy;
  const std::string& skipped = config().skip_barrier;
  const size_t colon = skipped.rfind(':');
  skipped_line_ = colon == std::string::npos ? 0 : std::atoi(skipped.c_str() + colon + 1);
  if (skipped_line_ != 0) skipped_file_ = skipped.substr(0, colon);
  gridDim = {grid.x, grid.y, grid.z};
  blockDim = {block.x, block.y, block.z};
  dynamic_shared_bytes_ = dynamic_shared_bytes;
  const size_t storage = dynamic_shared_bytes + kCanaryBytes + kSharedAlignment;
  unpoison(shared_storage_.data(), shared_storage_.size());
  if (shared_storage_.size() < storage) shared_storage_.resize(storage);
  const auto address = reinterpret_cast<uintptr_t>(shared_storage_.data());
  dynamic_shared_ = shared_storage_.data() + (kSharedAlignment - address % kSharedAlignment);
}

Fiber* BlockEngine::take_fiber() {
  if (free_fibers_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(fibers_.size()));
    free_fibers_.push_back(fibers_.back().get());
  }
  Fiber* fiber = free_fibers_.back();
  free_fibers_.pop_back();
  fiber->prepare(fiber_main);
  return fiber;
}

void BlockEngine::begin_block(uint3 index, uint64_t seed) {
  blockIdx = index;
  thread_count_ = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
  alive_ = thread_count_;
  arrived_ = predicate_sum_ = 0;
  abandoned_ = false;
  if (threads_.size() < static_cast<size_t>(thread_count_)) {
    threads_.resize(static_cast<size_t>(thread_count_));
  }
  int number = 0;
  for (unsigned z = 0; z < blockDim.z; ++z) {
    for (unsigned y = 0; y < blockDim.y; ++y) {
      for (unsigned x = 0; x < blockDim.x; ++x) {
        thread(number++) = {{x, y, z}, State::Fresh, nullptr, nullptr, nullptr, 0, 0};
      }
    }
  }
  warps_.resize(32);
  for (int warp = 0; warp < 32; ++warp) {
    const int lanes = std::clamp(thread_count_ - warp * 32, 0, 32);
    warps_[static_cast<size_t>(warp)].alive = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[static_cast<size_t>(warp)].open.clear();
  }
  schedule_.begin(thread_count_, policy_, seed);
  // Shared memory starts as NaNs.
  std::memset(dynamic_shared_, 0xFF, dynamic_shared_bytes_);
  unpoison(dynamic_shared_ + dynamic_shared_bytes_, kCanaryBytes);
  std::memset(dynamic_shared_ + dynamic_shared_bytes_, kCanary, kCanaryBytes);
  poison(dynamic_shared_ + dynamic_shared_bytes_, kCanaryBytes);
  host_.sanitizer_fiber = current_sanitizer_fiber();
  order_release(&begun_);
  if (kOwnFibers) {
    while (fibers_.size() < static_cast<size_t>(thread_count_)) {
      fibers_.push_back(std::make_unique<Fiber>(fibers_.size()));
      fibers_.back()->prepare(fiber_main);
    }
    for (int i = 0; i < thread_count_; ++i) thread(i).fiber = fibers_[static_cast<size_t>(i)].get();
  }
}

bool BlockEngine::run_block(uint3 index, uint64_t seed) {
  begin_block(index, seed);
  in_kernel_ = true;
  for (int number; !abandoned_ && (number = schedule_.next()) >= 0;) resume(host_, number, false);
  current_ = Schedule::kNone;
  order_acquire(this);
  bool ok = !abandoned_;
  if (ok && alive_ != 0) {
    report_deadlock();
    ok = false;
  }
  ok = check_dynamic_shared() && ok;
  in_kernel_ = false;
  if (!ok) recover();
  return ok;
}

/// Some threads of the block have not ended, and never will.
void BlockEngine::recover() {
  // They have last been ordered where they wait.
  for (char& key : barrier_order_) order_acquire(&key);
  for (Warp& warp : warps_) {
    for (auto& keys : warp.order) {
      for (char& key : keys) order_acquire(&key);
    }
  }
  free_fibers_.clear();
  for (const std::unique_ptr<Fiber>& fiber : fibers_) {
    if (kOwnFibers) {
      fiber->prepare(fiber_main);
    } else {
      free_fibers_.push_back(fiber.get());
    }
  }
}

bool BlockEngine::check_dynamic_shared() {
  if (kAddressSanitizer) return true;  // it has reported the access itself
  const char* end = dynamic_shared_ + dynamic_shared_bytes_;
  for (size_t i = 0; i < kCanaryBytes; ++i) {
    if (static_cast<unsigned char>(end[i]) != kCanary) {
      fail("wrote past the block's %zu bytes of dynamic shared memory, first at byte %zu",
           dynamic_shared_bytes_, dynamic_shared_bytes_ + i);
      return false;
    }
  }
  return true;
}

void BlockEngine::report_deadlock() {
  std::map<std::string, int> waiting;
  for (int i = 0; i < thread_count_; ++i) {
    const Thread& t = thread(i);
    if (t.state != State::AtBarrier && t.state != State::AtWarpOperation) continue;
    const char* what = t.state == State::AtBarrier ? "__syncthreads" : "a warp operation";
    ++waiting[std::string(what) + " at " + t.file + ":" + std::to_string(t.line)];
  }
  std::string places;
  for (const auto& [place, count] : waiting) {
    places += "\n    " + std::to_string(count) + " threads in " + place;
  }
  fail("deadlock: %d of %d threads wait for ever:%s", alive_, thread_count_, places.c_str());
}

// --- Switching
// --------------------------------------------------------------------------------------

void BlockEngine::fiber_main() {
  BlockEngine* engine = engine_of_this_thread;
  fiber_entered(engine->host_);
  for (;;) {
    order_acquire(&engine->begun_);
    (*engine->body_)();
    engine->finish_thread();  // comes back if another thread starts on this very stack
  }
}

void BlockEngine::resume(Context& from, int number, bool leaving_for_good) {
  Thread& next = thread(number);
  if (next.fiber == nullptr) next.fiber = take_fiber();
  current_ = number;
  threadIdx = next.index;
  ++switches_;
  switch_context(from, next.fiber->context, leaving_for_good);
}

void BlockEngine::return_to_host(Context& from, bool leaving_for_good) {
  current_ = Schedule::kNone;
  ++switches_;
  switch_context(from, host_, leaving_for_good);
}

/// Lets others run until the current thread, whose state says what it waits for, is picked again.
void BlockEngine::wait_here() {
  const int me = current_;
  const int next = schedule_.next();
  if (next == me) return;
  Context& here = thread(me).fiber->context;
  if (next == Schedule::kNone) {
    return_to_host(here, false);
  } else {
    resume(here, next, false);
  }
}

void BlockEngine::finish_thread() {
  const int me = current_;
  thread(me).state = State::Done;
  --alive_;
  order_release(this);
  leave_warp(me);
  if (arrived_ > 0) {
    fail("exits while %d threads wait in __syncthreads at %s:%d", arrived_, barrier_file_,
         barrier_line_);
  }
  Fiber* fiber = thread(me).fiber;
  thread(me).fiber = nullptr;
  const int next = schedule_.next();
  if (!kOwnFibers) {
    if (next >= 0 && thread(next).fiber == nullptr) {
      thread(next).fiber = fiber;
      threadIdx = thread(next).index;
      current_ = next;
      return;
    }
    free_fibers_.push_back(fiber);
  }
  Context& here = kOwnFibers ? fiber->context : left_;
  if (next == Schedule::kNone) {
    return_to_host(here, !kOwnFibers);
  } else {
    resume(here, next, !kOwnFibers);
  }
}

void BlockEngine::preempt() {
  if (!in_kernel_ || current_ < 0 || !schedule_.random()) return;
  schedule_.make_ready(current_ / 32, 1u << current_ % 32);
  order_release(this);  // should it never be its turn again
  wait_here();
}

}  // namespace simt
