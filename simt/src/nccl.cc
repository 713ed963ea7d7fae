// NCCL as programs see it.
#include "nccl.h"

#include <string>

#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/nccl_group.h"
#include "simt/src/nccl_thread_world.h"
#include "simt/src/stream.h"

using namespace simt;

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  static thread_local std::string text;
  text = comm != nullptr ? comm->world->error_text() : std::string();
  if (text.empty()) text = last_message();
  return text.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) { return make_unique_id(*id); }

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* settings) {
  *comm = nullptr;
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return refuse(ncclInvalidArgument, "ncclCommInitRank: rank " + std::to_string(rank) + " of " +
                                           std::to_string(ranks));
  }
  if (ranks > kMaxDevices) {
    return refuse(ncclInvalidArgument, "ncclCommInitRank: " + std::to_string(ranks) +
                                           " ranks, there can be " + std::to_string(kMaxDevices));
  }
  const bool blocking = settings == nullptr || settings->blocking != 0;
  std::shared_ptr<World> world;
  ncclResult_t result = find_world(id, ranks, world);
  if (result != ncclSuccess) return result;
  *comm = make_comm(world, rank, current_device(), blocking);
  world->join(rank, current_device());
  if (nccl_group().depth > 0) {
    nccl_group().joins.push_back(*comm);
    return ncclSuccess;
  }
  result = finish_join(*comm);
  if (result == ncclSuccess || result == ncclInProgress) return result;
  if (!blocking) return ncclInProgress;  // ncclCommGetAsyncError() says it
  retire(*comm);
  *comm = nullptr;
  return result;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(comm, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommInitAll(ncclComm_t* comms, int ranks, const int* devices) {
  int present = 0;
  cudaGetDeviceCount(&present);
  if (ranks < 1) return refuse(ncclInvalidArgument, "ncclCommInitAll: no devices");
  if (ranks > present) return refuse(ncclInvalidArgument, "ncclCommInitAll: too few devices");
  const auto world = std::make_shared<ThreadWorld>(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    const int device = devices != nullptr ? devices[rank] : rank;
    if (device < 0 || device >= present) {
      return refuse(ncclUnhandledCudaError,
                    "ncclCommInitAll: there is no device " + std::to_string(device));
    }
    world->join(rank, device);
  }
  const ncclResult_t result = world->wait_for_all(0);
  for (int rank = 0; rank < ranks && result == ncclSuccess; ++rank) {
    comms[rank] = make_comm(world, rank, devices != nullptr ? devices[rank] : rank, true);
  }
  return result;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const ncclResult_t result = check_comm(comm, "ncclCommFinalize");
  if (result != ncclSuccess) return result;
  run_all_streams();
  comm->finalized = true;
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  const ncclResult_t result = check_comm(comm, "ncclCommDestroy");
  if (result != ncclSuccess) return result;
  run_all_streams();
  retire(comm);
  comm->world->leave(comm->rank, Presence::Destroyed, ncclSuccess, "");
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  const ncclResult_t result = check_comm(comm, "ncclCommAbort");
  if (result != ncclSuccess) return result;
  retire(comm);
  comm->world->leave(comm->rank, Presence::Gone, ncclRemoteError,
                     "rank " + std::to_string(comm->rank) + " aborted its communicator");
  return ncclSuccess;
}

ncclResult_t simtNcclVanish(ncclComm_t comm) {
  const ncclResult_t result = check_comm(comm, "simtNcclVanish");
  if (result != ncclSuccess) return result;
  comm->world->leave(comm->rank, Presence::Gone, ncclRemoteError,
                     "rank " + std::to_string(comm->rank) + " is gone");
  return ncclSuccess;
}

void simtNcclVanishFrom(int device) {
  for (ncclComm* comm : live_on(device)) simtNcclVanish(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const ncclResult_t result = check_comm(comm, "ncclCommGetAsyncError");
  *error = result == ncclSuccess ? comm->world->error_for(comm->rank) : result;
  return result;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  const ncclResult_t result = check_comm(comm, "ncclCommCount");
  if (result == ncclSuccess) *count = comm->world->ranks();
  return result;
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  const ncclResult_t result = check_comm(comm, "ncclCommCuDevice");
  if (result == ncclSuccess) *device = comm->device;
  return result;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  const ncclResult_t result = check_comm(comm, "ncclCommUserRank");
  if (result == ncclSuccess) *rank = comm->rank;
  return result;
}

ncclResult_t ncclGroupStart() {
  ++nccl_group().depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  NcclGroup& group = nccl_group();
  if (group.depth == 0) {
    return refuse(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  }
  if (--group.depth > 0) return ncclSuccess;
  NcclGroup ended;
  std::swap(ended, group);
  for (ncclComm* comm : ended.joins) {
    const ncclResult_t result = finish_join(comm);
    if (ended.error == ncclSuccess) ended.error = result;
  }
  if (ended.error == ncclSuccess) start_calls(ended.calls);
  return ended.error;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return add_call({CollectiveKind::AllReduce, send, receive, count, type, op, 0, 0}, comm, stream);
}

ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  return add_call({CollectiveKind::Reduce, send, receive, count, type, op, root, 0}, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return add_call({CollectiveKind::ReduceScatter, send, receive, count, type, op, 0, 0}, comm,
                  stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return add_call({CollectiveKind::AllGather, send, receive, count, type, ncclSum, 0, 0}, comm,
                  stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return add_call({CollectiveKind::Broadcast, send, receive, count, type, ncclSum, root, 0}, comm,
                  stream);
}

ncclResult_t ncclBcast(void* buffer, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream) {
  return ncclBroadcast(buffer, buffer, count, type, root, comm, stream);
}

ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return add_call({CollectiveKind::Send, send, nullptr, count, type, ncclSum, peer, 0}, comm,
                  stream);
}

ncclResult_t ncclRecv(void* receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add_call({CollectiveKind::Recv, nullptr, receive, count, type, ncclSum, peer, 0}, comm,
                  stream);
}

}  // extern "C"
