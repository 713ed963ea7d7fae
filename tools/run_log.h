// What a training run leaves on disk and shows on the screen.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "files/log_file.h"
#include "report/run_record.h"
#include "report/tensorboard_log.h"
#include "tools/train_options.h"

namespace shardgrad {

/// The numbers of one optimizer step.
struct StepMetrics {
  std::int64_t step = 0;  ///< counted from 1
  double loss = 0.0;      ///< nats per token, mean over the step's batch
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  ///< global, before clipping
  double tokens_per_second = 0.0;
  std::int64_t skipped_steps = 0;         ///< so far, those that changed no parameter
  std::int64_t spiked_steps = 0;          ///< of them, the ones that were spikes
  std::optional<double> validation_loss;  ///< nats per token
  /// Share of the measured rate of matrix products that the step made, 0 to 1.
  std::optional<double> model_flops_utilization;
};

/// The options, those that depend on others resolved, as an object of JSON.
std::string settings_text(const TrainOptions& options, const std::string& device);

/// Writes OUT/config.json at once and OUT/metrics.jsonl as the run goes, one whole line a step, and
/// prints progress: on a terminal a line that is updated in place, elsewhere plain lines every few
/// seconds. Beside them OUT/tensorboard, with what metrics.jsonl has, and OUT/report.html, if the
/// options ask for them.
class RunLog {
 public:
  /// `device` says what the run uses. `in_place`: whether a line on a terminal may be updated;
  /// mpirun gives its processes a terminal, whatever its own output is. Of a run that is resumed in
  /// its own folder, the metrics go on. @throws Error when the folder or a file cannot be written,
  /// or holds another run.
  RunLog(const TrainOptions& options, const std::string& device, bool in_place);

  /// Ends the line that is being updated, so that an error message has a line of its own. Of a run
  /// that did not finish(), the report has the steps that there are.
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// After a validation, the report is made anew; where they follow each other fast, not after
  /// each.
  /// @throws Error when a file cannot be written.
  void write(const StepMetrics& metrics);

  /// Prints a text that the model has made after `step` steps, under a title that names the step,
  /// and appends it to OUT/samples.jsonl: {"step": ..., "text": ...}. What is no printable
  /// character is written as by printable(). @throws Error when it cannot be written.
  void write_sample(std::int64_t step, const std::string& text);

  /// When the run ends well, or is stopped: writes the report, and prints what was written.
  /// @throws Error when it cannot be written.
  void finish();

  /// Prints a line of text between progress lines.
  void say(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  void show(const StepMetrics& metrics);
  void start_lines(bool goes_on);
  void write_report();
  std::string metrics_path() const { return out_ + "/metrics.jsonl"; }
  std::string samples_path() const { return out_ + "/samples.jsonl"; }

  std::string out_;
  RunRecord record_;  // without a report, the settings alone
  bool report_;
  std::optional<LogFile> metrics_;
  std::optional<TensorboardLog> tensorboard_;
  std::int64_t first_step_;  // steps made before this log began
  const char* loss_unit_;
  std::int64_t total_steps_;
  bool terminal_;
  bool line_open_ = false;
  bool finished_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_shown_{}, next_report_{};
};

}  // namespace shardgrad
