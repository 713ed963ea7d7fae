// What one rank asks of its group, as the other ranks see it.
#pragma once

#include <optional>
#include <string>

#include "parallel/communicator.h"

namespace shardgrad {

/// One rank's arguments of one call. The fields that a call does not have keep their defaults.
struct RankCall {
  const char* name = "";       ///< a literal, such as "all_reduce"
  std::optional<DType> dtype;  ///< with a tensor only
  Shape shape;
  Device device;  ///< the tensor's; the host's without one
  std::optional<ReduceOp> op;
  int peer = -1;                ///< root, destination or source: a rank of the group
  const void* input = nullptr;  ///< where the other ranks read this rank's tensor
  void* output = nullptr;       ///< where they write it
  int color = 0;                ///< of split
  int key = 0;                  ///< of split
};

/// Whether two ranks that make these calls at the same time agree on what to do.
bool agree(const RankCall& a, const RankCall& b);

/// @throws Error naming `where` unless the two agree. The ranks are those of the world.
void require_agreement(const char* where, const RankCall& first, int first_rank,
                       const RankCall& second, int second_rank);

/// "all_reduce(float32 [4, 8], sum)".
std::string to_string(const RankCall& call);

}  // namespace shardgrad
