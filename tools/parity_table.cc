#include "tools/parity_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/size_text.h"

namespace shardgrad {
namespace {

// "0" where the numbers are the same, else "2.1e-16".
std::string small(double difference) {
  return difference == 0.0 ? "0" : fmt::format("{:.1e}", difference);
}

std::string rule(int columns) {
  std::string line;
  for (int i = 0; i < columns; ++i) line += "─";
  return line;
}

void print_collective(const std::string& layout, int width, const char* group, const char* name,
                      const CollectiveCount& found, const CollectiveCount& expected) {
  if (found.calls == 0 && expected.calls == 0) return;
  const double percent = expected.bytes == 0
                             ? 0.0
                             : 100.0 * static_cast<double>(found.bytes - expected.bytes) /
                                   static_cast<double>(expected.bytes);
  fmt::print("{:<{}}  {:<5}  {:<14}  {:>6}  {:>6}  {:>9}  {:>9}  {:>+7.2f} %\n", layout, width,
             group, name, found.calls, expected.calls, size_text(static_cast<double>(found.bytes)),
             size_text(static_cast<double>(expected.bytes)), percent);
}

int widest(const std::vector<TrainingLayout>& layouts) {
  std::size_t width = 6;
  for (const TrainingLayout& layout : layouts) width = std::max(width, layout.to_string().size());
  return static_cast<int>(width);
}

}  // namespace

DifferenceTable::DifferenceTable(const ParityTask& task, const std::vector<TrainingLayout>& layouts,
                                 bool colored)
    : task_(task), width_(widest(layouts)), colored_(colored) {}

std::string DifferenceTable::layout_column(const TrainingLayout& layout) const {
  return fmt::format("{:<{}}", layout.to_string(), width_);
}

void DifferenceTable::print_head() const {
  fmt::print("{:<{}}   largest relative difference\n", "", width_);
  fmt::print("{:<{}}  {:>9}  {:>9}  {:>10}  {:^7}  {:>11}  {:>10}\n", "layout", width_, "loss",
             "gradients", "parameters", "", "memory/rank", "time/step");
  fmt::print("{}\n", rule(width_ + 68));
  std::fflush(stdout);
}

void DifferenceTable::print_reference(const ParityRow& row) const {
  fmt::print("{}  {:>32}  {:^7}  {:>11}  {:>7.1f} ms\n", layout_column(row.layout), "the reference",
             "", size_text(row.run.peak_bytes), row.run.seconds * 1e3);
  std::fflush(stdout);
}

void DifferenceTable::print(const ParityRow& row) const {
  const char* const color = !colored_ ? "" : row.equal ? "\033[32m" : "\033[1;31m";
  fmt::print("{}  {:>9}  {:>9}  {:>10}  {}{:^7}{}  {:>11}  {:>7.1f} ms\n",
             layout_column(row.layout), small(row.difference.loss), small(row.difference.gradients),
             small(row.difference.parameters), color, row.equal ? "equal" : "DIFFERS",
             colored_ ? "\033[0m" : "", size_text(row.run.peak_bytes), row.run.seconds * 1e3);
  std::fflush(stdout);
}

void DifferenceTable::print_legend() const {
  const char* const bound = task_.dtype == DType::Float64 ? "all below 1e-9"
                            : task_.dtype == DType::BFloat16
                                ? "of the first step, loss below 4e-3 and gradients below 3e-2"
                                : "of the first step, loss and gradients below 1e-5";
  fmt::print(
      "\nloss: of any step. gradients: of the first step, the worst tensor by its norm, and the\n"
      "global norm. parameters: after {} clipped AdamW steps. equal: {}.\n"
      "memory: in tensors, at most in the first step; of ranks that share a device, their mean.\n",
      task_.steps, bound);
}

void print_traffic(const ParityTask& task, const std::vector<ParityRow>& rows) {
  std::vector<TrainingLayout> layouts;
  for (const ParityRow& row : rows) layouts.push_back(row.layout);
  const int width = widest(layouts);
  fmt::print("\nCommunication of a rank in one step\n\n");
  fmt::print("{:<{}}  {:<5}  {:<14}  {:>10}      {:>13}\n", "", width, "", "", "calls", "bytes");
  fmt::print("{:<{}}  {:<5}  {:<14}  {:>6}  {:>6}  {:>9}  {:>9}  {:>9}\n", "layout", width, "group",
             "collective", "found", "theory", "found", "theory", "more");
  fmt::print("{}\n", rule(width + 71));
  for (const ParityRow& row : rows) {
    const ExpectedTraffic expected =
        expected_traffic(task.model, row.layout, task.batch, task.dtype);
    std::string name = row.layout.to_string();
    const auto print_group = [&](const char* group, const CommunicationStats& found,
                                 const CommunicationStats& theory) {
      const auto print_one = [&](const char* collective, const CollectiveCount& one,
                                 const CollectiveCount& other) {
        if (one.calls == 0 && other.calls == 0) return;
        print_collective(name, width, group, collective, one, other);
        name.clear();  // named once
      };
      print_one("all_reduce", found.all_reduce, theory.all_reduce);
      print_one("all_gather", found.all_gather, theory.all_gather);
      print_one("reduce_scatter", found.reduce_scatter, theory.reduce_scatter);
    };
    print_group("tp", row.run.tensor_parallel, expected.tensor_parallel);
    print_group("dp", row.run.data_parallel, expected.data_parallel);
  }
  fmt::print(
      "\nBytes are those of whole messages: of what is reduced, or of what has been gathered. What "
      "is\n"
      "more than in theory pads the flat buffers of parameters and gradients.\n");
}

}  // namespace shardgrad
