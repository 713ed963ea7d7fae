#include "tools/bench_report.h"

#include <fmt/format.h>

#include <fstream>

namespace shardgrad {
namespace {

std::string layout_text(const BenchCase& task, const BenchResult& result) {
  return fmt::format("{}, {} thread{} per rank", task.layout.to_string(), result.threads,
                     result.threads == 1 ? "" : "s");
}

std::string dtype_text(const BenchCase& task) {
  return fmt::format("{}{}", name_of(dtype_of(task.device)),
                     task.device.tf32 ? " with TF32 products" : "");
}

// "181.2 GFLOP/s" of matrix products, "31.0 GB/s" of everything else, beside the share of the peak
// that was measured. A rank of several has its share of the machine.
std::string rate_text(const OperationSummary& operation, const BenchCase& task,
                      const BenchResult& result) {
  const double ranks = task.layout.world_size();
  const bool products = operation.cost.flops > 0.0;
  const double rate = (products ? operation.cost.flops : operation.cost.bytes) / operation.seconds;
  const double peak = (products ? result.gemm_rate : result.memory_rate) / ranks;
  return fmt::format("{:>9.1f} {:<7}  {:>5.0f} %", rate / 1e9, products ? "GFLOP/s" : "GB/s",
                     100.0 * rate / peak);
}

void print_operations(const BenchCase& task, const BenchResult& result) {
  const StepTimes step = result.median();
  const double total = step.forward + step.backward + step.optimizer;
  fmt::print("\n{:<42}  {:>5}  {:>9}  {:>6}  {:>17}  {:>7}\n", "operation of rank 0", "calls", "ms",
             "share", "rate", "of peak");
  double counted = 0.0;
  const auto row = [&](const std::string& name, const OperationSummary& operation) {
    fmt::print("{:<42}  {:>5}  {:>9.2f}  {:>4.1f} %  {}\n", name, operation.calls,
               operation.seconds * 1e3, 100.0 * operation.seconds / total,
               rate_text(operation, task, result));
  };
  for (const OperationSummary& operation : by_name(result.operations)) {
    row(operation.name, operation);
    counted += operation.seconds;
    for (const OperationSummary& part : result.operations) {
      if (part.name == operation.name && !part.detail.empty()) row("  " + part.detail, part);
    }
  }
  fmt::print("{:<42}  {:>5}  {:>9.2f}  {:>4.1f} %\n", "between them", "", (total - counted) * 1e3,
             100.0 * (total - counted) / total);
}

}  // namespace

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

void print_result(const BenchCase& task, const BenchResult& result) {
  const StepTimes step = result.median();
  const double rate = result.flops / step.total;
  const double tokens = static_cast<double>(task.batch_size * task.seq_len);
  fmt::print("device      {}, {}\n", result.device, dtype_text(task));
  fmt::print("model       {}: {:.1f} M parameters; {} x {} tokens a step, dropout {}\n", task.name,
             static_cast<double>(result.parameters) / 1e6, task.batch_size, task.seq_len,
             task.model.dropout);
  fmt::print("layout      {}\n", layout_text(task, result));
  fmt::print("step        {:.1f} ms (median of {}), {:.1f} tokens/s\n", step.total * 1e3,
             result.steps.size(), tokens / step.total);
  fmt::print(
      "rate        {:.1f} GFLOP/s, {:.0f} % of the GEMM rate measured here, {:.1f} GFLOP/s\n",
      rate / 1e9, 100.0 * rate / result.gemm_rate, result.gemm_rate / 1e9);
  fmt::print("phases      forward {:.1f} ms, backward {:.1f} ms, norm and AdamW {:.1f} ms\n",
             1e3 * step.forward, 1e3 * step.backward, 1e3 * step.optimizer);
  fmt::print("memory      {:.2f} GB per rank at most in tensors; {:.1f} GB/s measured here\n",
             result.peak_bytes_per_rank / 1e9, result.memory_rate / 1e9);
  if (result.all_reduce_rate > 0.0) {
    fmt::print("all_reduce  {:.1f} GB/s of a large vector, {:.0f} % of that of the memory\n",
               result.all_reduce_rate / 1e9, 100.0 * result.all_reduce_rate / result.memory_rate);
  }
  print_operations(task, result);
}

void print_summary(const std::vector<BenchCase>& tasks, const std::vector<BenchResult>& results) {
  fmt::print("\n{:<22}  {:<12}  {:<9}  {:>9}  {:>9}  {:>9}  {:>7}  {:>9}\n", "model", "layout",
             "dtype", "ms/step", "tokens/s", "GFLOP/s", "of GEMM", "GB/rank");
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const BenchCase& task = tasks[i];
    const double seconds = results[i].median().total;
    const double rate = results[i].flops / seconds;
    fmt::print("{:<22}  {:<12}  {:<9}  {:>9.1f}  {:>9.1f}  {:>9.1f}  {:>5.0f} %  {:>9.2f}\n",
               fmt::format("{} {}x{}", task.name, task.batch_size, task.seq_len),
               fmt::format("tp={} x dp={}", task.layout.tensor_parallel, task.layout.data_parallel),
               name_of(dtype_of(task.device)), seconds * 1e3,
               static_cast<double>(task.batch_size * task.seq_len) / seconds, rate / 1e9,
               100.0 * rate / results[i].gemm_rate, results[i].peak_bytes_per_rank / 1e9);
  }
}

nlohmann::ordered_json to_json(const BenchCase& task, const BenchResult& result) {
  const StepTimes median = result.median();
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const StepTimes& step : result.steps) steps.push_back(step.total);
  nlohmann::ordered_json operations = nlohmann::ordered_json::array();
  for (const OperationSummary& operation : result.operations) {
    operations.push_back({{"name", operation.name},
                          {"shape", operation.detail},
                          {"calls", operation.calls},
                          {"seconds", operation.seconds},
                          {"flops", operation.cost.flops},
                          {"bytes", operation.cost.bytes}});
  }
  return {{"model", task.name},
          {"device", result.device},
          {"parameters", result.parameters},
          {"batch_size", task.batch_size},
          {"seq_len", task.seq_len},
          {"dropout", task.model.dropout},
          {"layout", task.layout.to_string()},
          {"tp", task.layout.tensor_parallel},
          {"dp", task.layout.data_parallel},
          {"threads_per_rank", result.threads},
          {"dtype", name_of(dtype_of(task.device))},
          {"step_seconds", median.total},
          {"tokens_per_second", static_cast<double>(task.batch_size * task.seq_len) / median.total},
          {"steps", steps},
          {"phases",
           {{"forward", median.forward},
            {"backward", median.backward},
            {"optimizer", median.optimizer}}},
          {"flops", result.flops},
          {"gemm_flops_per_second", result.gemm_rate},
          {"memory_bytes_per_second", result.memory_rate},
          {"all_reduce_bytes_per_second", result.all_reduce_rate},
          {"peak_bytes_per_rank", result.peak_bytes_per_rank},
          {"operations", operations}};
}

}  // namespace shardgrad
