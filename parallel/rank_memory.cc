#include "parallel/rank_memory.h"

#include <algorithm>

#include "parallel/cuda/rank_reduce.h"
#include "parallel/parallel_copy.h"
#include "parallel/rank_reduce.h"
#include "tensor/cuda/runtime.h"
#include "tensor/round_up.h"

namespace shardgrad {
namespace {

// The inputs, with copies in `staging` in the place of those on other devices.
std::vector<const void*> fetch(Device device, DType dtype, const RankBuffers<const void*>& inputs,
                               std::int64_t count, Tensor& staging) {
  constexpr std::int64_t kAlignment = 16;  // elements: keeps every copy as aligned as the first
  const std::int64_t stride = round_up(count, kAlignment);
  std::vector<const void*> local = inputs.data;
  const auto here = std::count(inputs.devices.begin(), inputs.devices.end(), device);
  const auto elsewhere = static_cast<std::int64_t>(local.size()) - here;
  if (elsewhere > 0) staging = Tensor::empty({elsewhere * stride}, dtype, device);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < local.size(); ++i) {
    if (inputs.devices[i] == device) continue;
    void* copy = staging.slice(0, offset, stride).raw_data();
    offset += stride;
    cuda::copy_on_device(copy, local[i], static_cast<std::size_t>(count) * size_of(dtype));
    local[i] = copy;
  }
  return local;
}

void reduce_on_cuda(Device device, DType dtype, ReduceOp op, const RankBuffers<const void*>& inputs,
                    const RankBuffers<void*>& outputs, std::int64_t count) {
  // When it goes, its memory serves this thread's later work, which comes after in the stream.
  Tensor staging;
  const std::vector<const void*> local_inputs = fetch(device, dtype, inputs, count, staging);
  std::vector<void*> local_outputs;
  for (std::size_t i = 0; i < outputs.data.size(); ++i) {
    if (outputs.devices[i] == device) local_outputs.push_back(outputs.data[i]);
  }
  cuda::reduce_over_ranks(dtype, op, local_inputs, local_outputs, count);
  for (std::size_t i = 0; i < outputs.data.size(); ++i) {
    if (outputs.devices[i] == device) continue;
    cuda::copy_on_device(outputs.data[i], local_outputs.front(),
                         static_cast<std::size_t>(count) * size_of(dtype));
  }
}

}  // namespace

void copy_between_ranks(Device device, void* destination, const void* source, std::int64_t bytes) {
  if (device.type == DeviceType::Cpu) {
    parallel_copy(destination, source, bytes);
  } else if (bytes > 0) {
    cuda::copy_on_device(destination, source, static_cast<std::size_t>(bytes));
  }
}

void reduce_rank_buffers(Device device, DType dtype, ReduceOp op,
                         const RankBuffers<const void*>& inputs, const RankBuffers<void*>& outputs,
                         std::int64_t count) {
  if (count == 0) return;
  if (device.type == DeviceType::Cpu) {
    reduce_over_ranks(dtype, op, inputs.data, outputs.data, count);
  } else {
    reduce_on_cuda(device, dtype, op, inputs, outputs, count);
  }
}

}  // namespace shardgrad
