#include "simt/src/nccl_group.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "simt/src/device.h"
#include "simt/src/error.h"
#include "simt/src/memory.h"
#include "simt/src/nccl_process_world.h"
#include "simt/src/nccl_reduce.h"
#include "simt/src/nccl_thread_world.h"
#include "simt/src/stream.h"

namespace simt {
namespace {

/// Every communicator there has been, and the worlds that ranks are still to join.
struct Registry {
  std::mutex mutex;
  std::set<std::unique_ptr<ncclComm>> comms;
  std::set<const ncclComm*> live;
  std::map<std::string, std::shared_ptr<World>> worlds;
  std::map<std::string, int> joined;
  std::map<std::string, int> descriptors;  // of ids for processes, until a rank here joins
  uint64_t ids = 0;
};
Registry& registry() {
  static Registry* all = new Registry;
  return *all;
}

thread_local NcclGroup group;

}  // namespace

ncclResult_t refuse(ncclResult_t result, const std::string& text) {
  report(text);
  if (group.depth > 0 && group.error == ncclSuccess) group.error = result;
  return result;
}

namespace {

bool live(const ncclComm* comm) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  return registry().live.count(comm) != 0;
}

}  // namespace

ncclComm* make_comm(std::shared_ptr<World> world, int rank, int device, bool blocking) {
  auto comm = std::make_unique<ncclComm>();
  comm->world = std::move(world);
  comm->rank = rank;
  comm->device = device;
  comm->blocking = blocking;
  ncclComm* handle = comm.get();
  const std::lock_guard<std::mutex> lock(registry().mutex);
  registry().live.insert(handle);
  registry().comms.insert(std::move(comm));
  return handle;
}

std::vector<ncclComm*> live_on(int device) {
  std::vector<ncclComm*> found;
  const std::lock_guard<std::mutex> lock(registry().mutex);
  for (const auto& comm : registry().comms) {
    if (comm->device == device && registry().live.count(comm.get()) != 0) {
      found.push_back(comm.get());
    }
  }
  return found;
}

void retire(ncclComm* comm) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  registry().live.erase(comm);
}

ncclResult_t check_comm(const ncclComm* comm, const char* who) {
  if (live(comm)) return ncclSuccess;
  return refuse(ncclInvalidArgument,
                std::string(who) + ": a communicator that is null, or was destroyed or aborted");
}

namespace {

ncclResult_t find_process_world(const std::string& id, int ranks, std::shared_ptr<World>& world) {
  int descriptor = -1;
  {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    const auto found = registry().descriptors.find(id);
    if (found != registry().descriptors.end()) {
      descriptor = found->second;
      registry().descriptors.erase(found);
    }
  }
  std::string fault;
  world = ProcessWorld::open(id, ranks, descriptor, fault);
  if (world != nullptr) return ncclSuccess;
  return refuse(ncclInvalidArgument, "ncclCommInitRank: " + fault);
}

}  // namespace

ncclResult_t find_world(const ncclUniqueId& id, int ranks, std::shared_ptr<World>& world) {
  Registry& all = registry();
  const std::string key(id.internal, strnlen(id.internal, sizeof id.internal));
  if (SharedMemory::is_id(key)) return find_process_world(key, ranks, world);
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.worlds.find(key);
  if (found == all.worlds.end()) {
    return refuse(ncclInvalidArgument,
                  "ncclCommInitRank: an id that ncclGetUniqueId did not make in this process "
                  "(with SIMT_PROCESSES=1 it makes one for other processes, too), or that was "
                  "used already");
  }
  if (found->second == nullptr) found->second = std::make_shared<ThreadWorld>(ranks);
  world = found->second;
  if (world->ranks() != ranks) {
    return refuse(ncclInvalidArgument, "ncclCommInitRank: " + std::to_string(ranks) +
                                           " ranks, another rank said " +
                                           std::to_string(world->ranks()));
  }
  if (++all.joined[key] == ranks) {
    all.worlds.erase(found);
    all.joined.erase(key);
  }
  return ncclSuccess;
}

ncclResult_t finish_join(ncclComm* comm) {
  if (comm->blocking) return comm->world->wait_for_all(comm->rank);
  return comm->world->error_for(comm->rank);
}

NcclGroup& nccl_group() { return group; }

namespace {

bool overlap(const void* pointer, size_t bytes, const void* other, size_t other_bytes) {
  const auto* a = static_cast<const char*>(pointer);
  const auto* b = static_cast<const char*>(other);
  return a < b + other_bytes && b < a + bytes;
}

ncclResult_t check_call(const CollectiveCall& call, const ncclComm* comm, cudaStream_t stream) {
  const int ranks = comm->world->ranks();
  const std::string who = std::string(call.name()) + ", rank " + std::to_string(comm->rank) +
                          " of " + std::to_string(ranks) + ": ";
  if (comm->finalized) return refuse(ncclInvalidUsage, who + "the communicator was finalized");
  if (element_bytes(call.type) == 0) {
    return refuse(ncclInvalidArgument,
                  who + "data type " + std::to_string(call.type) + " is not modelled");
  }
  if (call.op >= ncclNumOps) {
    return refuse(ncclInvalidArgument, who + "operation " + std::to_string(call.op));
  }
  if (call.root < 0 || call.root >= ranks) {
    return refuse(ncclInvalidArgument, who + "there is no rank " + std::to_string(call.root));
  }
  const bool at_root = comm->rank == call.root;
  const size_t bytes = call.bytes(), all = bytes * static_cast<size_t>(ranks);
  size_t sent = call.kind == CollectiveKind::ReduceScatter ? all : bytes;
  size_t received = call.kind == CollectiveKind::AllGather ? all : bytes;
  if (call.kind == CollectiveKind::Recv) sent = 0;
  if (call.kind == CollectiveKind::Broadcast && !at_root) sent = 0;
  if (call.kind == CollectiveKind::Send) received = 0;
  if (call.kind == CollectiveKind::Reduce && !at_root) received = 0;
  const DeviceScope device(comm->device);
  for (const auto& [pointer, size, name] :
       {std::tuple(call.send, sent, "sendbuff"),
        std::tuple(static_cast<const void*>(call.receive), received, "recvbuff")}) {
    if (size == 0) continue;
    const std::string fault = fault_of(pointer, size);
    if (fault.empty()) continue;
    char address[32];
    std::snprintf(address, sizeof address, " (%p) ", pointer);
    return refuse(ncclInvalidArgument, who + name + address + fault);
  }
  if (sent > 0 && received > 0 && overlap(call.send, sent, call.receive, received)) {
    const size_t mine = bytes * static_cast<size_t>(comm->rank);
    const auto* to = static_cast<const char*>(call.receive);
    const auto* from = static_cast<const char*>(call.send);
    const bool in_place = call.kind == CollectiveKind::AllGather       ? from == to + mine
                          : call.kind == CollectiveKind::ReduceScatter ? to == from + mine
                                                                       : to == from;
    if (!in_place) {
      return refuse(ncclInvalidUsage, who + "sendbuff and recvbuff overlap, not in place");
    }
  }
  return check_stream(stream, call.name()) == cudaSuccess ? ncclSuccess : ncclInvalidArgument;
}

}  // namespace

void start_calls(const std::vector<PendingCall>& calls) {
  std::vector<std::pair<ncclComm*, cudaStream_t>> places;
  std::vector<std::vector<CollectiveCall>> pieces;
  for (const PendingCall& pending : calls) {
    const std::pair<ncclComm*, cudaStream_t> place{pending.comm, pending.stream};
    size_t i = 0;
    while (i < places.size() && places[i] != place) ++i;
    if (i == places.size()) {
      places.push_back(place);
      pieces.emplace_back();
    }
    pieces[i].push_back(pending.call);
  }
  std::vector<Attempt> attempts;
  for (size_t i = 0; i < places.size(); ++i) {
    const auto work = std::make_shared<NcclWork>(places[i].first, std::move(pieces[i]));
    attempts.push_back(
        {places[i].first->device, places[i].second, [work] { return work->attempt(); }});
  }
  enqueue_attempts(std::move(attempts));
}

ncclResult_t add_call(CollectiveCall call, ncclComm* comm, cudaStream_t stream) {
  ncclResult_t result = check_comm(comm, call.name());
  if (result != ncclSuccess) return result;
  result = comm->world->error_for(comm->rank);
  if (result == ncclInProgress && group.depth == 0) {
    return refuse(ncclInvalidArgument,
                  std::string(call.name()) + ": the communicator is not ready yet");
  }
  if (result == ncclSuccess || result == ncclInProgress) result = check_call(call, comm, stream);
  if (result != ncclSuccess) {
    if (group.depth > 0 && group.error == ncclSuccess) group.error = result;
    return result;
  }
  if (!call.point_to_point()) call.sequence = comm->sequence++;
  if (group.depth > 0) {
    group.calls.push_back({comm, stream, call});
  } else {
    start_calls({{comm, stream, call}});
  }
  return ncclSuccess;
}

ncclResult_t make_unique_id(ncclUniqueId& id) {
  Registry& all = registry();
  const std::lock_guard<std::mutex> lock(all.mutex);
  id = {};
  std::string text = "simt-" + std::to_string(++all.ids);
  if (config().processes) {
    const int descriptor = ProcessWorld::make_id(text);
    if (descriptor < 0) return refuse(ncclSystemError, "ncclGetUniqueId: no memory to share");
    all.descriptors[text] = descriptor;
  } else {
    all.worlds[text];
  }
  std::snprintf(id.internal, sizeof id.internal, "%s", text.c_str());
  return ncclSuccess;
}

}  // namespace simt
