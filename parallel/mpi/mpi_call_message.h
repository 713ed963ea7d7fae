// What one rank asks of its group, as it is sent to the others.
#pragma once

#include <cstdint>

#include "parallel/rank_call.h"

namespace shardgrad::mpi {

/// A RankCall without its pointers, or the news that a rank has left the group.
struct CallMessage {
  char name[24];       ///< "" when the rank has left
  std::int32_t dtype;  ///< -1: without a tensor
  std::int32_t dims;
  std::int64_t shape[Shape::kMaxRank];
  std::int32_t device_type, device_index;
  std::int32_t op;  ///< -1: none
  std::int32_t peer;
  std::int32_t color, key;
  std::int32_t group_number;  ///< of split: see MpiJob::next_group_number()

  bool has_left() const { return name[0] == '\0'; }
};

/// The message for `call`.
CallMessage encode(const RankCall& call, int group_number);

/// The message of a rank that leaves.
CallMessage farewell();

/// The call that a message holds, which has to outlive it.
RankCall decode(const CallMessage& message);

}  // namespace shardgrad::mpi
