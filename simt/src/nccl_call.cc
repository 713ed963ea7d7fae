#include "simt/src/nccl_call.h"

#include "simt/src/nccl_reduce.h"

namespace simt {

const char* CollectiveCall::name() const {
  switch (kind) {
    case CollectiveKind::AllReduce:
      return "ncclAllReduce";
    case CollectiveKind::Reduce:
      return "ncclReduce";
    case CollectiveKind::ReduceScatter:
      return "ncclReduceScatter";
    case CollectiveKind::AllGather:
      return "ncclAllGather";
    case CollectiveKind::Broadcast:
      return "ncclBroadcast";
    case CollectiveKind::Send:
      return "ncclSend";
    case CollectiveKind::Recv:
      return "ncclRecv";
  }
  return "";
}

size_t CollectiveCall::bytes() const { return count * element_bytes(type); }

std::string CollectiveCall::text() const {
  std::string text = std::string(name()) + " of " + std::to_string(count) + " elements of type " +
                     std::to_string(type);
  if (reduces()) text += " with operation " + std::to_string(op);
  if (kind == CollectiveKind::Broadcast || kind == CollectiveKind::Reduce) {
    text += " and root " + std::to_string(root);
  }
  return text;
}

std::string disagreement(const std::vector<CollectiveCall>& calls) {
  const CollectiveCall& first = calls[0];
  const bool root_counts =
      first.kind == CollectiveKind::Broadcast || first.kind == CollectiveKind::Reduce;
  for (size_t rank = 1; rank < calls.size(); ++rank) {
    const CollectiveCall& call = calls[rank];
    if (call.kind == first.kind && call.count == first.count && call.type == first.type &&
        (!first.reduces() || call.op == first.op) && (!root_counts || call.root == first.root)) {
      continue;
    }
    return "rank 0 calls " + first.text() + ", rank " + std::to_string(rank) + " calls " +
           call.text() + "; a GPU would hang or compute nonsense";
  }
  return "";
}

std::string disagreement(const CollectiveCall& send, int from, const CollectiveCall& receive,
                         int to) {
  if (send.bytes() == receive.bytes()) return "";
  return "rank " + std::to_string(from) + " calls " + send.text() + ", rank " + std::to_string(to) +
         " calls " + receive.text();
}

}  // namespace simt
