#include "parallel/mpi/mpi_call_message.h"

#include <cstring>

namespace shardgrad::mpi {

CallMessage encode(const RankCall& call, int group_number) {
  CallMessage message{};
  std::strncpy(message.name, call.name, sizeof(message.name) - 1);
  message.dtype = call.dtype ? static_cast<std::int32_t>(*call.dtype) : -1;
  message.dims = call.shape.rank();
  for (int dim = 0; dim < call.shape.rank(); ++dim) message.shape[dim] = call.shape[dim];
  message.device_type = static_cast<std::int32_t>(call.device.type);
  message.device_index = call.device.index;
  message.op = call.op ? static_cast<std::int32_t>(*call.op) : -1;
  message.peer = call.peer;
  message.color = call.color;
  message.key = call.key;
  message.group_number = group_number;
  return message;
}

CallMessage farewell() { return {}; }

RankCall decode(const CallMessage& message) {
  RankCall call;
  call.name = message.name;
  if (message.dtype >= 0) call.dtype = static_cast<DType>(message.dtype);
  for (int dim = 0; dim < message.dims; ++dim) call.shape.push_back(message.shape[dim]);
  call.device = {static_cast<DeviceType>(message.device_type), message.device_index};
  if (message.op >= 0) call.op = static_cast<ReduceOp>(message.op);
  call.peer = message.peer;
  call.color = message.color;
  call.key = message.key;
  return call;
}

}  // namespace shardgrad::mpi
