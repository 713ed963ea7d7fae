#include "tools/operation_costs.h"

#include <fmt/format.h>

#include <algorithm>

namespace shardgrad {
namespace {

double bytes_of(const OperandShape& operand) {
  return static_cast<double>(operand.shape.numel()) * static_cast<double>(size_of(operand.dtype));
}

double bytes_of_all(const OperationCall& call) {
  double bytes = 0.0;
  for (const OperandShape& operand : call.operands) bytes += bytes_of(operand);
  return bytes;
}

bool is_gemm(const std::string& name) { return name == "gemm" || name == "gemm_bias_gelu"; }

// The [B, H, T] among attention's tensors: its log_sum_exp.
Shape attention_extents(const OperationCall& call) {
  for (const OperandShape& operand : call.operands) {
    if (operand.shape.rank() == 3) return operand.shape;
  }
  return {0, 1, 0};
}

// Of `products` products of [T, Dh] with [Dh, T] for each head, half of which are masked.
double attention_flops(const OperationCall& call, double products) {
  const Shape extents = attention_extents(call);
  const double width = static_cast<double>(call.operands.front().shape[1]) / 3.0;
  const double tokens = static_cast<double>(extents[2]);
  return products * static_cast<double>(extents[0]) * width * tokens * (tokens + 1.0);
}

}  // namespace

OperationCost cost_of(const OperationCall& call) {
  const std::string name = call.name;
  OperationCost cost{0.0, bytes_of_all(call)};
  const std::vector<OperandShape>& operands = call.operands;
  if (is_gemm(name)) {
    const Shape &a = operands[0].shape, &b = operands[1].shape;
    cost.flops =
        2.0 * static_cast<double>(a[0]) * static_cast<double>(a[1]) * static_cast<double>(b[1]);
  } else if (name == "attention_forward") {
    cost.flops = attention_flops(call, 2.0);
  } else if (name == "attention_backward") {
    cost.flops = attention_flops(call, 5.0);
  } else if (name == "adamw") {  // updates the parameter and both moments
    cost.bytes += bytes_of(operands[0]) + bytes_of(operands[2]) + bytes_of(operands[3]);
  } else if (name == "softmax_minus_target" || name == "all_reduce") {
    cost.bytes += bytes_of(operands[0]);
  } else if (name == "embedding_forward") {  // ids, table, out
    cost.bytes += bytes_of(operands[2]) - bytes_of(operands[1]);
  } else if (name == "embedding_backward") {  // ids, dy, dtable
    cost.bytes += 2.0 * bytes_of(operands[1]) - bytes_of(operands[2]);
  }
  return cost;
}

std::vector<OperationSummary> summarize(const std::vector<OperationCall>& calls) {
  std::vector<OperationSummary> kinds;
  std::map<std::pair<std::string, std::string>, std::size_t> index;
  for (const OperationCall& call : calls) {
    std::string detail;
    if (is_gemm(call.name)) {
      const Shape &a = call.operands[0].shape, &b = call.operands[1].shape;
      detail = fmt::format("{} x {} x {}", a[0], a[1], b[1]);
    }
    const auto [entry, added] = index.try_emplace({call.name, detail}, kinds.size());
    if (added) kinds.push_back({call.name, detail, 0, 0.0, {}});
    OperationSummary& kind = kinds[entry->second];
    const OperationCost cost = cost_of(call);
    ++kind.calls;
    kind.seconds += call.seconds;
    kind.cost.flops += cost.flops;
    kind.cost.bytes += cost.bytes;
  }
  return kinds;
}

std::vector<OperationSummary> median_step(std::vector<std::vector<OperationSummary>> steps) {
  std::vector<OperationSummary> result = steps.front();
  for (std::size_t kind = 0; kind < result.size(); ++kind) {
    std::vector<double> seconds;
    for (const auto& step : steps) seconds.push_back(step.at(kind).seconds);
    std::sort(seconds.begin(), seconds.end());
    result[kind].seconds = seconds[seconds.size() / 2];
  }
  return result;
}

std::vector<OperationSummary> by_name(const std::vector<OperationSummary>& operations) {
  std::vector<OperationSummary> names;
  for (const OperationSummary& operation : operations) {
    auto found = std::find_if(names.begin(), names.end(), [&](const OperationSummary& other) {
      return other.name == operation.name;
    });
    if (found == names.end()) found = names.insert(names.end(), {operation.name, "", 0, 0.0, {}});
    found->calls += operation.calls;
    found->seconds += operation.seconds;
    found->cost.flops += operation.cost.flops;
    found->cost.bytes += operation.cost.bytes;
  }
  std::stable_sort(
      names.begin(), names.end(),
      [](const OperationSummary& a, const OperationSummary& b) { return a.seconds > b.seconds; });
  return names;
}

}  // namespace shardgrad
