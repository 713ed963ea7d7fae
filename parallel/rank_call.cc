#include "parallel/rank_call.h"

#include <string_view>

namespace shardgrad {

bool agree(const RankCall& a, const RankCall& b) {
  return std::string_view(a.name) == b.name && a.dtype == b.dtype &&
         a.device.type == b.device.type && a.shape.numel() == b.shape.numel() && a.op == b.op &&
         a.peer == b.peer;
}

void require_agreement(const char* where, const RankCall& first, int first_rank,
                       const RankCall& second, int second_rank) {
  require(agree(first, second), where,
          "rank {} called {} but rank {} called {}; every rank of a group must make the same call",
          first_rank, to_string(first), second_rank, to_string(second));
}

std::string to_string(const RankCall& call) {
  std::string arguments;
  if (call.dtype) arguments += fmt::format("{} {}", name_of(*call.dtype), call.shape.to_string());
  if (call.device.type != DeviceType::Cpu) arguments += " on " + call.device.to_string();
  if (call.op) arguments += *call.op == ReduceOp::Sum ? ", sum" : ", max";
  if (call.peer >= 0) arguments += fmt::format(", rank {}", call.peer);
  return fmt::format("{}({})", call.name, arguments);
}

}  // namespace shardgrad
