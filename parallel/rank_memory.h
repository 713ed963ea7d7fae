// Copies and reductions over the buffers of several ranks, on whichever devices they are.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator.h"

namespace shardgrad {

/// Places in the memory of some ranks, and the device of each.
template <class Pointer>
struct RankBuffers {
  std::vector<Pointer> data;
  std::vector<Device> devices;

  void reserve(int ranks) {
    data.reserve(ranks);
    devices.reserve(ranks);
  }
  void clear() {
    data.clear();
    devices.clear();
  }
  void add(Pointer buffer, Device device) {
    data.push_back(buffer);
    devices.push_back(device);
  }
};

/// Copies between the buffers of two ranks, which do not overlap. Both are on the CPU, or both on
/// CUDA devices (`device` is the calling rank's), where it is queued in the calling thread's
/// stream.
void copy_between_ranks(Device device, void* destination, const void* source, std::int64_t bytes);

/// Each output[i] = the reduction of input[i] over the inputs, in their order: see
/// reduce_over_ranks(). On CUDA devices it is queued in the calling thread's stream of `device`,
/// where at least one of the outputs is: what is on other devices is fetched, and the result copied
/// there.
void reduce_rank_buffers(Device device, DType dtype, ReduceOp op,
                         const RankBuffers<const void*>& inputs, const RankBuffers<void*>& outputs,
                         std::int64_t count);

}  // namespace shardgrad
