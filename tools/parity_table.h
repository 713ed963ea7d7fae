// The tables that the parity program prints.
#pragma once

#include <string>
#include <vector>

#include "tools/parity_run.h"

namespace shardgrad {

/// A layout, what came of it, and how it compares.
struct ParityRow {
  TrainingLayout layout;
  ParityRun run;
  ParityDifference difference;
  bool equal = false;
};

/// Prints the head of the table of differences, a row as soon as it is known, and the meaning of
/// the columns.
class DifferenceTable {
 public:
  /// `layouts`: all that there will be, for the width of the first column. `colored`: for a
  /// terminal.
  DifferenceTable(const ParityTask& task, const std::vector<TrainingLayout>& layouts, bool colored);

  void print_head() const;
  void print_reference(const ParityRow& row) const;
  void print(const ParityRow& row) const;
  void print_legend() const;

 private:
  std::string layout_column(const TrainingLayout& layout) const;

  ParityTask task_;
  int width_;
  bool colored_;
};

/// Prints calls and bytes of each collective of a rank in one step beside those that theory expects
/// (see expected_traffic()).
void print_traffic(const ParityTask& task, const std::vector<ParityRow>& rows);

}  // namespace shardgrad
