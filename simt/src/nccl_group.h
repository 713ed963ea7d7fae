// The communicators there are, and what the calls of a group wait for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "simt/src/nccl_world.h"

namespace simt {

/// A call within a group, whose work starts at the group's end.
struct PendingCall {
  ncclComm* comm;
  cudaStream_t stream;
  CollectiveCall call;
};
struct NcclGroup {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<ncclComm*> joins;
  std::vector<PendingCall> calls;
};
/// Of the calling host thread.
NcclGroup& nccl_group();

/// Reports a wrong call, and returns `result`, which is that of the group, too.
ncclResult_t refuse(ncclResult_t result, const std::string& text);

/// The world of the id, which one more rank is about to join.
ncclResult_t find_world(const ncclUniqueId& id, int ranks, std::shared_ptr<World>& world);
/// An id for ranks that are threads of this process, or may be other processes, see
/// Config::processes.
ncclResult_t make_unique_id(ncclUniqueId& id);

ncclComm* make_comm(std::shared_ptr<World> world, int rank, int device, bool blocking);
/// The handles of the device's communicators.
std::vector<ncclComm*> live_on(int device);
/// The communicator is no handle any more.
void retire(ncclComm* comm);
/// Reports what is no handle.
ncclResult_t check_comm(const ncclComm* comm, const char* who);
/// Waits for the other ranks, if the communicator is a blocking one.
ncclResult_t finish_join(ncclComm* comm);

/// Checks a call, and starts its work or leaves it to the group's end.
ncclResult_t add_call(CollectiveCall call, ncclComm* comm, cudaStream_t stream);
/// Hands the calls over to the streams: what belongs to one communicator and one stream as one
/// piece.
void start_calls(const std::vector<PendingCall>& calls);

}  // namespace simt
