// Which communicator the ranks of a run get.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/host_communicator.h"

namespace shardgrad {

/// What carries tensors between ranks. See Processes for what it means when they are processes.
enum class CommunicatorBackend {
  Auto,    ///< NCCL where each rank has a GPU of its own and NCCL is there, else Thread
  Thread,  ///< the ranks use each other's memory: CPUs, one GPU for several ranks, some GPUs
  Nccl,    ///< one GPU for each rank
};

/// "auto", "thread" or "nccl".
const char* name_of(CommunicatorBackend backend);

/// Why ranks on these devices cannot communicate through NCCL, or "" when they can.
std::string why_no_nccl(const std::vector<Device>& devices);

/// The backend that `requested` stands for when rank i has its tensors on devices[i]: Thread or
/// Nccl. @throws Error when the ranks cannot communicate, or not as requested.
CommunicatorBackend choose_backend(const std::vector<Device>& devices,
                                   CommunicatorBackend requested);

/// The communicator of a rank on `device`, for the backend that choose_backend() has chosen. Called
/// by each rank on its own thread; `host` connects the ranks without NCCL.
std::unique_ptr<Communicator> make_communicator(CommunicatorBackend backend, Device device,
                                                std::unique_ptr<HostCommunicator> host);

}  // namespace shardgrad
