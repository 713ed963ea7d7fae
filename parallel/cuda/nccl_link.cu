#include <chrono>
#include <thread>
#include <utility>

#include "parallel/cuda/nccl_link.cuh"
#include "tensor/cuda/launch.cuh"

namespace shardgrad::cuda {
namespace {

std::string text_of(ncclResult_t result, ncclComm_t communicator) {
  const char* details = ncclGetLastError(communicator);
  std::string text = fmt::format("NCCL: {}", ncclGetErrorString(result));
  if (details != nullptr && *details != '\0') text += fmt::format(" ({})", details);
  return text;
}

// What NCCL does in the background is soon done, but for the first connections.
void pause(int times_before) {
  if (times_before < 100) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace

NcclLink::NcclLink(const ncclUniqueId& id, HostCommunicator& host, int device,
                   std::shared_ptr<NcclWatch> watch)
    : host_(host), device_(device), watch_(std::move(watch)) {
  use_device(device);
  watch_->add(this);
  std::unique_lock<std::mutex> lock(mutex_);
  try {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    finish_call("nccl",
                ncclCommInitRankConfig(&communicator_, host.world_size(), id, host.rank(), &config),
                lock);
  } catch (...) {
    if (lock.owns_lock()) lock.unlock();
    watch_->remove(this);
    throw;
  }
}

NcclLink::~NcclLink() {
  close();
  watch_->remove(this);
}

// The watch goes on meanwhile, so that a lost rank holds up neither the stream nor NCCL.
void NcclLink::close() {
  if (host_.failure().empty()) cudaStreamSynchronize(stream());
  std::unique_lock<std::mutex> lock(mutex_);
  if (communicator_ == nullptr) return;
  const std::string failure = host_.failure();
  if (!failure.empty()) return abort(failure);
  ncclResult_t result = ncclCommFinalize(communicator_);
  for (int pauses = 0; result == ncclSuccess || result == ncclInProgress; ++pauses) {
    result = state();
    if (result != ncclInProgress) break;
    lock.unlock();
    pause(pauses);
    lock.lock();
    if (communicator_ == nullptr) return;
  }
  if (result != ncclSuccess) return abort(text_of(result, communicator_));
  ncclCommDestroy(communicator_);
  communicator_ = nullptr;
}

ncclResult_t NcclLink::state() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t result = ncclCommGetAsyncError(communicator_, &state);
  return result == ncclSuccess ? state : result;
}

// The lock is given away in between, to the watch.
void NcclLink::finish_call(const char* name, ncclResult_t result,
                           std::unique_lock<std::mutex>& lock) {
  for (int pauses = 0; result == ncclSuccess || result == ncclInProgress; ++pauses) {
    result = state();
    if (result == ncclSuccess) return;
    if (result != ncclInProgress) break;
    lock.unlock();
    pause(pauses);
    lock.lock();
    throw_if_aborted(name);
  }
  abort_because_of(result);
  throw_if_aborted(name);
}

void NcclLink::throw_if_aborted(const char* name) const {
  require(aborted_.empty(), name, "{}", aborted_);
}

void NcclLink::look() {
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || communicator_ == nullptr) return;
  const std::string failure = host_.failure();
  if (!failure.empty()) return abort(failure);
  const ncclResult_t result = state();
  if (result != ncclSuccess && result != ncclInProgress) abort_because_of(result);
}

// The others are told before they see what an abort does to them.
void NcclLink::abort_because_of(ncclResult_t result) {
  std::string reason = host_.failure();
  if (reason.empty()) {
    reason = text_of(result, communicator_);
    host_.abort(reason);
  }
  abort(reason);
}

void NcclLink::abort(const std::string& reason) {
  aborted_ = reason;
  if (communicator_ == nullptr) return;
  ncclCommAbort(communicator_);
  communicator_ = nullptr;
}

}  // namespace shardgrad::cuda
