// What a rank asks of NCCL.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nccl.h"

namespace simt {

enum class CollectiveKind { AllReduce, Reduce, ReduceScatter, AllGather, Broadcast, Send, Recv };

/// What one rank passed to a collective, or to a send or receive.
struct CollectiveCall {
  CollectiveKind kind;
  const void* send;
  void* receive;
  size_t count;
  ncclDataType_t type;
  ncclRedOp_t op;
  int root;           // or the peer
  uint64_t sequence;  // the how-manieth collective of the communicator

  bool point_to_point() const {
    return kind == CollectiveKind::Send || kind == CollectiveKind::Recv;
  }
  bool reduces() const {
    return kind == CollectiveKind::AllReduce || kind == CollectiveKind::Reduce ||
           kind == CollectiveKind::ReduceScatter;
  }
  const char* name() const;
  size_t bytes() const;
  /// "4 elements of type 7 with operation 0"
  std::string text() const;
};

/// In what the ranks' calls of one collective differ, or "".
std::string disagreement(const std::vector<CollectiveCall>& calls);
/// The same for a send of rank `from` and a receive of rank `to`.
std::string disagreement(const CollectiveCall& send, int from, const CollectiveCall& receive,
                         int to);

}  // namespace simt
