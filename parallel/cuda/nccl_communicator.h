// The backend for ranks that each have a GPU of their own: NVIDIA's NCCL.
#pragma once

#include <memory>

#include "parallel/host_communicator.h"

namespace shardgrad::cuda {

/// A communicator whose collectives over CUDA tensors go through NCCL, in the stream of the calling
/// thread. Everything else goes through `host`, which connects the same ranks in some other way
/// (threads, or MPI): the id by which they find each other, the check that all make the same call,
/// tensors on the CPU, barriers, splits, and the news that a rank has failed. Every rank calls it,
/// with its own `device`, which is current afterwards.
///
/// NCCL's failures are watched for: a rank that is lost ends the calls of the others with an Error,
/// and also the kernels that wait for it on the other devices, whose results are worthless then.
/// @throws Error when NCCL cannot connect the ranks.
[[gnu::weak]] std::unique_ptr<Communicator> make_nccl_communicator(
    std::unique_ptr<HostCommunicator> host, Device device);

/// True when this program was linked with NCCL.
inline bool nccl_linked() { return make_nccl_communicator != nullptr; }

}  // namespace shardgrad::cuda
