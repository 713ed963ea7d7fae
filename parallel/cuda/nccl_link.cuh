// One rank's handle of NCCL, which may be taken away at any time.
#pragma once

#include <nccl.h>

#include <memory>
#include <mutex>
#include <string>

#include "parallel/cuda/nccl_watch.cuh"
#include "parallel/host_communicator.h"

namespace shardgrad::cuda {

/// A communicator of NCCL. Its calls never block, so that it can be aborted whatever becomes of the
/// other ranks: by the thread that uses it, when a call fails, or by the thread that watches it,
/// when NCCL reports an error or `host` the failure of a rank. That also ends kernels which wait
/// for a lost rank, and with them whoever waits for the stream.
class NcclLink {
 public:
  /// Joins the ranks of `host`, which pass the same `id`, with this rank on `device`. `host`
  /// outlives the link. @throws Error when that fails, also on another rank.
  NcclLink(const ncclUniqueId& id, HostCommunicator& host, int device,
           std::shared_ptr<NcclWatch> watch);
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;
  /// Called by the rank's thread. Waits until the rank's calls are done, unless there is a failure.
  ~NcclLink();

  /// Makes the NCCL call `start(communicator)`, on the rank's thread, and returns when its work is
  /// queued. @throws Error naming `name` when it fails, or the link is aborted.
  template <class Start>
  void call(const char* name, const Start& start) {
    std::unique_lock<std::mutex> lock(mutex_);
    throw_if_aborted(name);
    finish_call(name, start(communicator_), lock);
  }

  /// Aborts the link if there is reason to. Called now and then by the watching thread.
  void look();

 private:
  void finish_call(const char* name, ncclResult_t result, std::unique_lock<std::mutex>& lock);
  ncclResult_t state() const;
  void throw_if_aborted(const char* name) const;
  void abort_because_of(ncclResult_t result);
  void abort(const std::string& reason);
  void close();

  HostCommunicator& host_;
  const int device_;
  const std::shared_ptr<NcclWatch> watch_;
  std::mutex mutex_;  // held by whoever has NCCL do something with the communicator
  ncclComm_t communicator_ = nullptr;
  std::string aborted_;  // why; empty while it is not
};

}  // namespace shardgrad::cuda
