// A run's numbers and texts for TensorBoard.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files/log_file.h"
#include "report/tensorboard_event.h"

namespace shardgrad {

/// Writes one file of events into a folder, which TensorBoard follows while it grows.
class TensorboardLog {
 public:
  /// Makes `folder` and in it a file whose name comes behind those of the files that are there,
  /// since TensorBoard reads them in the order of their names. What these have of `first_step` and
  /// later ones no longer counts: the run that goes on makes it anew.
  /// @throws Error when the folder or the file cannot be made or written.
  TensorboardLog(const std::string& folder, std::int64_t first_step);

  /// Adds the numbers of a step, with the time of now. TensorBoard can read them when this returns.
  /// @throws Error when they cannot be written.
  void add_scalars(std::int64_t step, const std::vector<Scalar>& scalars);

  /// Likewise a text, in Markdown and UTF-8.
  void add_text(std::int64_t step, const std::string& tag, const std::string& markdown);

 private:
  LogFile file_;
};

/// `text` as Markdown that shows it as it is, line by line.
std::string markdown_code(const std::string& text);

/// A table of names and values in Markdown.
std::string markdown_table(const std::vector<std::pair<std::string, std::string>>& rows);

}  // namespace shardgrad
